package registrar

import (
	"crypto/x509/pkix"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// asked is what a request asks for, in the one form that decisions are made on:
// PKCS#10 as it is, its signature verified, and CRMF put into that form, so that
// both are read by the same rules.
func asked(q *cmc.Request) (*est.CSR, *Decision) {
	const rule = "cmc-request"
	if q.PKCS10 != nil {
		csr, err := est.ParseCSR(q.PKCS10.Raw)
		if err != nil {
			return nil, denyAs(err, ReasonCMCMalformed, rule)
		}
		return csr, nil
	}
	if q.CRMF == nil {
		return nil, deny(ReasonCMCRequestType, rule)
	}
	a, d := templateOf(q)
	if d != nil {
		return nil, d
	}
	return a.parse()
}

// templateOf is what a CRMF request asks for.
func templateOf(q *cmc.Request) (*certificationRequest, *Decision) {
	a := &certificationRequest{
		subject: q.CRMF.Template.RawSubject, key: q.CRMF.Template.RawSubjectPublicKeyInfo, extensions: q.CRMF.Template.Extensions,
	}
	names, err := q.ChangeSubjectName()
	if err != nil {
		return nil, denyErr(ReasonCMCMalformed, "cmc-request", err)
	}
	if names != nil {
		a.newNames = append(append([]byte{}, names.RawSubject...), names.RawAltName...)
	}
	return a, nil
}

// crmfEvidence is what is kept of a CRMF request that waits.
func crmfEvidence(q *cmcRequest) ([]byte, *Decision) {
	a, d := templateOf(q.request)
	if d != nil {
		return nil, d
	}
	der, err := a.evidence(q.id)
	if err != nil {
		return nil, denyErr(ReasonInternal, "cmc-request", err)
	}
	return der, nil
}

// certificationRequest is what PKCS#10 says of a certificate.
type certificationRequest struct {
	subject    []byte // Name in DER; nil for an empty one
	key        []byte // SubjectPublicKeyInfo in DER
	extensions []pkix.Extension
	newNames   []byte // the content of a ChangeSubjectName; nil for none
}

// parse writes it as a PKCS#10 request with an empty signature, and reads that.
func (a *certificationRequest) parse() (*est.CSR, *Decision) {
	const rule = "cmc-request"
	der, err := a.marshal()
	if err != nil {
		return nil, denyErr(ReasonCMCMalformed, rule, err)
	}
	csr, err := est.ParseAsked(der)
	if err != nil {
		return nil, denyAs(err, ReasonCMCMalformed, rule)
	}
	csr.Raw = nil // of no use to another CA
	return csr, nil
}

// marshal writes CertificationRequest (RFC 2986, Section 4).
func (a *certificationRequest) marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			if a.subject != nil {
				b.AddBytes(a.subject)
			} else {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(*cryptobyte.Builder) {})
			}
			b.AddBytes(a.key)
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific().Constructed(), a.attributes)
		})
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}) // of no meaning: there is no signature
		})
		b.AddASN1BitString(nil)
	})
	return b.Bytes()
}

// oidChangeSubjectName is id-cmc-changeSubjectName (RFC 6402, Section 2.8).
func oidChangeSubjectName() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}
}

func (a *certificationRequest) attributes(b *cryptobyte.Builder) {
	add := func(oid asn1.ObjectIdentifier, value func(b *cryptobyte.Builder)) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, value)
			})
		})
	}
	if len(a.extensions) > 0 {
		add(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}, func(b *cryptobyte.Builder) {
			for _, e := range a.extensions {
				addExtension(b, e)
			}
		})
	}
	if a.newNames != nil {
		add(oidChangeSubjectName(), func(b *cryptobyte.Builder) { b.AddBytes(a.newNames) })
	}
}

func addExtension(b *cryptobyte.Builder, e pkix.Extension) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.Id)
		if e.Critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.Value)
	})
}
