package cmp

import (
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// Header is PKIHeader (RFC 4210, Section 5.1.1). Byte slices are nil when absent.
type Header struct {
	Version   int    // pvno: 2, or 3 (RFC 9480, Section 2.20); 0 when writing stands for 2
	Sender    []byte // GeneralName in DER; see DirectoryName
	Recipient []byte // GeneralName in DER
	// Time is messageTime, in whole seconds; zero when absent.
	Time time.Time
	// Algorithm is protectionAlg; its OID is nil when absent. Marshal sets it.
	Algorithm      cms.AlgorithmIdentifier
	SenderKID      []byte
	RecipientKID   []byte
	TransactionID  []byte
	SenderNonce    []byte
	RecipientNonce []byte
	FreeText       []string
	Infos          []Info // generalInfo
}

// Info is InfoTypeAndValue (RFC 4210, Section 5.1.1).
type Info struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER; nil when absent
}

// ImplicitConfirm is the Info that asks for, and grants, certificates without a certConf (RFC 4210, Section 5.1.1.1).
func ImplicitConfirm() Info {
	return Info{Type: oidImplicitConfirm(), Value: []byte{5, 0}}
}

// CertProfile is the Info that names the CA's profile (RFC 9480, Section 2.4).
func CertProfile(name string) Info {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addText(b, name) })
	return Info{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 4, 21}, Value: b.BytesOrPanic()}
}

func oidImplicitConfirm() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 4, 13}
}

// ImplicitConfirm tells whether the header has that Info.
func (h *Header) ImplicitConfirm() bool {
	for _, i := range h.Infos {
		if i.Type.Equal(oidImplicitConfirm()) {
			return true
		}
	}
	return false
}

// DirectoryName wraps a Name in DER as the GeneralName that a header wants (RFC 9483, Section 3.1). Nil stands for NULL-DN, the
// empty name.
func DirectoryName(name []byte) []byte {
	if name == nil {
		name = []byte{0x30, 0}
	}
	var b cryptobyte.Builder
	b.AddASN1(contextTag(4), func(b *cryptobyte.Builder) { b.AddBytes(name) })
	return b.BytesOrPanic() // only with names that were parsed or built
}

// Name returns the Name in DER within a GeneralName of a header; false when it is of another type.
func Name(generalName []byte) ([]byte, bool) {
	in := cryptobyte.String(generalName)
	var inner, name cryptobyte.String
	if !in.ReadASN1(&inner, contextTag(4)) || !in.Empty() || !inner.ReadASN1Element(&name, cryptobyte_asn1.SEQUENCE) || !inner.Empty() {
		return nil, false
	}
	return name, true
}

func readHeader(r *reader) *Header {
	h := &Header{Version: int(r.integer("pvno"))}
	if r.ok() && h.Version != 2 && h.Version != 3 {
		r.broken(ErrVersion, fmt.Sprintf("pvno %d", h.Version))
	}
	h.Sender, h.Recipient = r.anything("sender"), r.anything("recipient")
	r.explicit(0, "messageTime", func(r *reader) { h.Time = r.time("messageTime") })
	r.explicit(1, "protectionAlg", func(r *reader) { h.Algorithm = r.algorithm("protectionAlg") })
	for n, field := range []*[]byte{&h.SenderKID, &h.RecipientKID, &h.TransactionID, &h.SenderNonce, &h.RecipientNonce} {
		r.explicit(uint8(2+n), "octets of the header", func(r *reader) { *field = r.octets("octets of the header") })
	}
	r.explicit(7, "freeText", func(r *reader) { h.FreeText = r.texts("freeText") })
	r.explicit(8, "generalInfo", func(r *reader) { h.Infos = readInfos(r.sequence("generalInfo")) })
	r.end("PKIHeader")
	return h
}

func readInfos(list *reader) []Info {
	var out []Info
	for list.more() {
		if len(out) == MaxInfos {
			list.broken(ErrTooLarge, fmt.Sprintf("generalInfo: more than %d", MaxInfos))
			return nil
		}
		one := list.sequence("generalInfo")
		i := Info{Type: one.oid("generalInfo")}
		if one.more() {
			i.Value = one.anything("generalInfo")
		}
		one.end("generalInfo")
		out = append(out, i)
	}
	return out
}

func (h *Header) add(b *cryptobyte.Builder, algorithm []byte) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(max(h.Version, 2)))
		addElement(b, h.Sender, "sender")
		addElement(b, h.Recipient, "recipient")
		if !h.Time.IsZero() {
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(h.Time.UTC().Truncate(time.Second)) })
		}
		if algorithm != nil {
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddBytes(algorithm) })
		}
		for n, field := range [][]byte{h.SenderKID, h.RecipientKID, h.TransactionID, h.SenderNonce, h.RecipientNonce} {
			if field != nil {
				b.AddASN1(contextTag(uint8(2+n)), func(b *cryptobyte.Builder) { b.AddASN1OctetString(field) })
			}
		}
		if len(h.FreeText) > 0 {
			b.AddASN1(contextTag(7), func(b *cryptobyte.Builder) { addTexts(b, h.FreeText) })
		}
		if len(h.Infos) > 0 {
			b.AddASN1(contextTag(8), func(b *cryptobyte.Builder) { b.AddASN1(cryptobyte_asn1.SEQUENCE, h.addInfos) })
		}
	})
}

func (h *Header) addInfos(b *cryptobyte.Builder) {
	for _, i := range h.Infos {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(i.Type)
			if i.Value != nil {
				addElement(b, i.Value, "generalInfo")
			}
		})
	}
}

// addElement adds one element that the caller gives, or makes an error when it is none.
func addElement(b *cryptobyte.Builder, der []byte, what string) {
	in := cryptobyte.String(der)
	var element cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !in.ReadAnyASN1Element(&element, &tag) || !in.Empty() {
		b.SetError(fmt.Errorf("%s is not one DER element", what))
		return
	}
	b.AddBytes(der)
}

func addText(b *cryptobyte.Builder, text string) {
	b.AddASN1(cryptobyte_asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

func addTexts(b *cryptobyte.Builder, texts []string) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, text := range texts {
			addText(b, text)
		}
	})
}
