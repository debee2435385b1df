package cmp

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// Message is PKIMessage (RFC 4210, Section 5.1) as it was received.
type Message struct {
	Header Header
	Kind   Kind
	// Body is what the body's tag holds, in DER; CertRep, PollRep and the others read it.
	Body []byte
	// ExtraCerts are the certificates that came along, unparsed. Nothing makes them trustworthy.
	ExtraCerts [][]byte

	protected  []byte // ProtectedPart: what the protection is over
	protection []byte // nil when there is none
}

// Parse reads a PKIMessage in DER. Limits: MaxSize and the others. Nothing is verified.
// Errors: ErrSyntax, ErrTooLarge, ErrVersion, and those of cms.ToDER.
func Parse(data []byte) (*Message, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxSize)
	}
	der, err := cms.ToDER(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if !bytes.Equal(der, data) {
		return nil, fmt.Errorf("%w: BER lengths where DER is due", ErrSyntax)
	}
	m := &Message{}
	return m, read(data, "PKIMessage", func(r *reader) { m.read(r.sequence("PKIMessage")) })
}

func (m *Message) read(r *reader) {
	header := r.element(cryptobyte_asn1.SEQUENCE, "PKIHeader")
	body := r.anything("PKIBody")
	if !r.ok() {
		return
	}
	m.Header = *readHeader((&reader{s: header, err: r.err}).sequence("PKIHeader"))
	tag := cryptobyte_asn1.Tag(body[0])
	m.Kind = Kind(tag & 0x1f)
	if tag != contextTag(uint8(m.Kind)) || m.Kind > lastKind {
		r.broken(ErrSyntax, "PKIBody")
		return
	}
	inner := (&reader{s: body, err: r.err}).open(tag, "PKIBody")
	m.Body = inner.anything("PKIBody")
	inner.end("PKIBody")
	m.protected = sequence(header, body)
	r.explicit(0, "protection", func(r *reader) { m.protection = append([]byte{}, r.bits("protection")...) })
	r.explicit(1, "extraCerts", func(r *reader) { m.ExtraCerts = r.certificates("extraCerts") })
	r.end("PKIMessage")
	if r.ok() && (m.protection == nil) != (m.Header.Algorithm.OID == nil) {
		r.broken(ErrSyntax, "protection and protectionAlg come together")
	}
}

// sequence returns the elements in a SEQUENCE.
func sequence(elements ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddBytes(e)
		}
	})
	return b.BytesOrPanic() // lengths of at most MaxSize are no error
}

// Protected tells whether the message has a protection. It says nothing about whose.
func (m *Message) Protected() bool { return m.protection != nil }

// expect is an error unless the message is of one of the kinds.
func (m *Message) expect(kinds ...Kind) error {
	for _, k := range kinds {
		if m.Kind == k {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", ErrKind, m.Kind)
}

// Marshal writes a message: the header, a body from one of the functions New..., the protection by p (nil for none) and the
// certificates in extraCerts. h.Algorithm is not looked at. Errors: ErrBuild, and those of p.
func Marshal(h *Header, body Body, p Protection, extraCerts [][]byte) ([]byte, error) {
	var algorithm []byte
	var protect func([]byte) ([]byte, error)
	var err error
	if p != nil {
		if algorithm, protect, err = p.begin(); err != nil {
			return nil, err
		}
	}
	if body.err != nil {
		return nil, body.err
	}
	part, err := encode(func(b *cryptobyte.Builder) {
		h.add(b, algorithm)
		b.AddASN1(contextTag(uint8(body.kind)), func(b *cryptobyte.Builder) { addElement(b, body.der, "PKIBody") })
	})
	if err != nil {
		return nil, err
	}
	var protection []byte
	if protect != nil {
		if protection, err = protect(sequence(part)); err != nil {
			return nil, err
		}
	}
	der, err := encode(func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(part)
			if protect != nil {
				b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddASN1BitString(protection) })
			}
			if len(extraCerts) > 0 {
				b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { addCertificates(b, extraCerts) })
			}
		})
	})
	if err == nil && len(der) > MaxSize {
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrBuild, len(der))
	}
	return der, err
}

func addCertificates(b *cryptobyte.Builder, certificates [][]byte) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, c := range certificates {
			addElement(b, c, "certificate")
		}
	})
}

// encode runs f and returns what it wrote. Errors: ErrBuild.
func encode(f func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	return der, nil
}

// Body is a PKIBody that is to be sent.
type Body struct {
	kind Kind
	der  []byte
	err  error // ErrBuild
}

// Kind is that of the body.
func (b Body) Kind() Kind { return b.kind }

func newBody(kind Kind, f func(*cryptobyte.Builder)) Body {
	der, err := encode(f)
	return Body{kind: kind, der: der, err: err}
}

// listBody is newBody with a SEQUENCE around it.
func listBody(kind Kind, f func(*cryptobyte.Builder)) Body {
	return newBody(kind, func(b *cryptobyte.Builder) { b.AddASN1(cryptobyte_asn1.SEQUENCE, f) })
}
