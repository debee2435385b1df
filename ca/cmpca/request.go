package cmpca

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmp"
)

// request is the body that asks for what was ordered. It is the same each time.
func (c *CA) request(o *delegate.Order) (cmp.Body, error) {
	if c.s.Mode == P10CR {
		return cmp.NewP10CR(o.Request.CSR), nil
	}
	subject, err := o.Profile.SubjectDER(o.Request.Subject)
	if err != nil {
		return cmp.Body{}, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	san, err := delegate.SAN(&o.Request.Names)
	if err != nil {
		return cmp.Body{}, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	// RFC 9483, Section 4.1.1: subject and key; the CA's profile fills in the rest.
	template := cmc.CertTemplate{
		RawSubject: subject, RawSubjectPublicKeyInfo: o.CSR.RawSubjectPublicKeyInfo,
		NotBefore: o.Intent.NotBefore, NotAfter: o.Intent.NotAfter,
	}
	if san != nil {
		// Critical when the subject is empty (RFC 5280, Section 4.2.1.6).
		template.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: len(o.Request.Subject) == 0, Value: san}}
	}
	return cmp.NewCertReq(c.requestKind(), template), nil
}

func (c *CA) requestKind() cmp.Kind {
	switch c.s.Mode {
	case IR:
		return cmp.IR
	case CR:
		return cmp.CR
	default:
		return cmp.P10CR
	}
}

// answerKind is ip for ir, and cp for the others (RFC 4210, Section 5.2).
func (c *CA) answerKind() cmp.Kind {
	if c.s.Mode == IR {
		return cmp.IP
	}
	return cmp.CP
}

// rightID tells whether a certReqId is that of the request: 0, or, where a PKCS #10
// request has none, -1 (RFC 9480, Section 2.9). RFC 4210, Section 5.3.4, left the latter
// open, so a CA of its time may say 0.
func (c *CA) rightID(id int64) bool {
	return id == 0 || id == -1 && c.s.Mode == P10CR
}

// commonName is a Name with that alone.
func commonName(text string) ([]byte, error) {
	name := pkix.Name{CommonName: text}
	return asn1.Marshal(name.ToRDNSequence())
}
