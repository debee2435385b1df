package cmp

import (
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Revocation asks for one certificate to be revoked, or, with reason 8, for a hold to be released (RFC 9483, Section 4.2).
type Revocation struct {
	Issuer []byte // Name in DER
	Serial *big.Int
	Reason int // CRLReason (RFC 5280, Section 5.3.1)
}

// NewRevReq is the body of an rr about one certificate.
func NewRevReq(v *Revocation) Body {
	return listBody(RR, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				// The tags of a CertTemplate are IMPLICIT, but for those of a CHOICE (RFC 4211, Section 5).
				b.AddASN1(cryptobyte_asn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { addIntegerContents(b, v.Serial) })
				b.AddASN1(contextTag(3), func(b *cryptobyte.Builder) { addElement(b, v.Issuer, "issuer") })
			})
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidReasonCode())
					b.AddASN1(cryptobyte_asn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(v.Reason)) })
				})
			})
		})
	})
}

func oidReasonCode() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 21} }

// addIntegerContents adds what an INTEGER has inside its tag and length.
func addIntegerContents(b *cryptobyte.Builder, n *big.Int) {
	var whole cryptobyte.Builder
	whole.AddASN1BigInt(n)
	in := cryptobyte.String(whole.BytesOrPanic())
	var contents cryptobyte.String
	in.ReadASN1(&contents, cryptobyte_asn1.INTEGER)
	b.AddBytes(contents)
}

// RevReq reads the body of an rr about one certificate in the form that NewRevReq writes. Errors: ErrKind, ErrSyntax.
func (m *Message) RevReq() (*Revocation, error) {
	if err := m.expect(RR); err != nil {
		return nil, err
	}
	v := &Revocation{Serial: new(big.Int)}
	return v, read(m.Body, "RevReqContent", func(r *reader) {
		list := r.sequence("RevReqContent")
		one := list.sequence("RevDetails")
		template := one.sequence("certDetails")
		serial := template.open(cryptobyte_asn1.Tag(1).ContextSpecific(), "serialNumber")
		v.Serial.SetBytes(serial.s)
		template.explicit(3, "issuer", func(r *reader) { v.Issuer = r.element(cryptobyte_asn1.SEQUENCE, "issuer") })
		template.end("certDetails")
		extension := one.sequence("crlEntryDetails").sequence("reasonCode")
		if extension.ok() && !extension.oid("reasonCode").Equal(oidReasonCode()) {
			extension.broken(ErrSyntax, "an extension that is no reasonCode")
		}
		value := extension.open(cryptobyte_asn1.OCTET_STRING, "reasonCode")
		if value.ok() && !value.s.ReadASN1Enum(&v.Reason) {
			value.broken(ErrSyntax, "reasonCode")
		}
		list.end("RevReqContent")
	})
}

// NewRevRep is the body of an rp.
func NewRevRep(statuses ...StatusInfo) Body {
	return listBody(RP, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range statuses {
				s.add(b)
			}
		})
	})
}

// RevRep reads the body of an rp: one status for each certificate of the rr. Certificate identifiers and lists in it are left
// alone. Errors: ErrKind, ErrSyntax, ErrTooLarge.
func (m *Message) RevRep() ([]StatusInfo, error) {
	if err := m.expect(RP); err != nil {
		return nil, err
	}
	var statuses []StatusInfo
	return statuses, read(m.Body, "RevRepContent", func(r *reader) {
		inner := r.sequence("RevRepContent")
		list := inner.sequence("status")
		for list.more() {
			if len(statuses) == MaxResponses {
				list.broken(ErrTooLarge, "status")
				return
			}
			statuses = append(statuses, readStatusInfo(list))
		}
		for n := range uint8(2) {
			inner.explicit(n, "RevRepContent", func(r *reader) { r.anything("RevRepContent") })
		}
		inner.end("RevRepContent")
	})
}
