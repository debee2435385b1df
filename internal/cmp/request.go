package cmp

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cmc"
)

// NewP10CR is the body of a p10cr: a PKCS #10 request, byte for byte, so that its proof of possession survives
// (RFC 9483, Section 4.1.4).
func NewP10CR(csr []byte) Body {
	return newBody(P10CR, func(b *cryptobyte.Builder) { addElement(b, csr, "PKCS #10 request") })
}

// NewCertReq is the body of an ir or cr with one request, whose certReqId is 0 (RFC 9483, Section 4.1.1). The template has a
// public key; possession was checked by the RA that sends this, which popo says as raVerified (RFC 4211, Section 4; RFC 9483, Section 5.3.1).
func NewCertReq(kind Kind, template cmc.CertTemplate) Body {
	request, err := cmc.NewCRMF(&cmc.CRMFRequest{Template: template, RAVerified: true})
	if err != nil {
		return Body{kind: kind, err: fmt.Errorf("%w: %w", ErrBuild, err)}
	}
	// What CMC tags [1] IMPLICIT is the SEQUENCE here.
	one := bytes.Clone(request.Raw)
	one[0] = byte(cryptobyte_asn1.SEQUENCE)
	return listBody(kind, func(b *cryptobyte.Builder) { b.AddBytes(one) })
}

// CertHash is the certHash of a certConf: by the hash of the certificate's signature, or, where that names none, by SHA-512,
// which has to be said (RFC 9481, Section 2; RFC 9480, Section 2.10).
type CertHash struct {
	Value []byte
	// Algorithm is hashAlg in DER; nil when the certificate's signature names the hash. A message with it has Version 3.
	Algorithm []byte
}

// HashCertificate makes the CertHash of a certificate.
func HashCertificate(certificate *x509.Certificate) CertHash {
	h, said := confirmationHash(certificate.SignatureAlgorithm)
	sum := h.New()
	sum.Write(certificate.Raw)
	c := CertHash{Value: sum.Sum(nil)}
	if said {
		c.Algorithm = algorithm(oidOfHash(h), nil)
	}
	return c
}

// CertConfirmation is CertStatus (RFC 4210, Section 5.3.18).
type CertConfirmation struct {
	Hash      CertHash
	RequestID int64
	// StatusInfo is nil for a certificate that is taken.
	StatusInfo *StatusInfo
}

// NewCertConf is the body of a certConf about one certificate.
func NewCertConf(c *CertConfirmation) Body {
	return listBody(CertConf, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(c.Hash.Value)
			b.AddASN1Int64(c.RequestID)
			if c.StatusInfo != nil {
				c.StatusInfo.add(b)
			}
			if c.Hash.Algorithm != nil {
				b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddBytes(c.Hash.Algorithm) })
			}
		})
	})
}

// CertConf reads the body of a certConf about one certificate. Errors: ErrKind, ErrSyntax, ErrTooLarge.
func (m *Message) CertConf() (*CertConfirmation, error) {
	if err := m.expect(CertConf); err != nil {
		return nil, err
	}
	c := &CertConfirmation{}
	return c, read(m.Body, "CertConfirmContent", func(r *reader) {
		list := r.sequence("CertConfirmContent")
		one := list.sequence("CertStatus")
		c.Hash.Value, c.RequestID = one.octets("certHash"), one.integer("certReqId")
		if one.is(cryptobyte_asn1.SEQUENCE) {
			s := readStatusInfo(one)
			c.StatusInfo = &s
		}
		one.explicit(0, "hashAlg", func(r *reader) { c.Hash.Algorithm = r.element(cryptobyte_asn1.SEQUENCE, "hashAlg") })
		one.end("CertStatus")
		list.end("CertConfirmContent")
	})
}

// NewPKIConf is the body of a pkiconf.
func NewPKIConf() Body {
	return newBody(PKIConf, func(b *cryptobyte.Builder) { b.AddASN1NULL() })
}

// CertReq reads the one request of an ir or cr. Errors: ErrKind, ErrSyntax, and those of cmc.ParseCRMF.
func (m *Message) CertReq() (*cmc.CRMF, error) {
	if err := m.expect(IR, CR); err != nil {
		return nil, err
	}
	var one []byte
	err := read(m.Body, "CertReqMessages", func(r *reader) {
		list := r.sequence("CertReqMessages")
		one = list.element(cryptobyte_asn1.SEQUENCE, "CertReqMsg")
		list.end("CertReqMessages")
	})
	if err != nil {
		return nil, err
	}
	return cmc.ParseCRMF(one)
}
