package cmc

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// Request is one certification request of reqSequence (RFC 5272, Section 3.2.1.2): exactly one of PKCS10, CRMF and Other is set.
type Request struct {
	ID BodyPartID
	// PKCS10 is a PKCS #10 request (Section 3.2.1.2.1), read by crypto/x509; its signature is not checked. PKCS10.Raw are the
	// bytes as received, to be scanned for what crypto/x509 hides.
	PKCS10 *x509.CertificateRequest
	// CRMF is a CertReqMsg (Section 3.2.1.2.2). ID is its certReqId.
	CRMF *CRMF
	// Other is a request of another kind (Section 3.2.1.2.3): none is defined, and a server answers noSupport.
	Other *OtherRequest
	// Raw is the tagged element as received, and is written as it is; nil in one that is being built.
	Raw []byte
}

// OtherRequest is a request of a type that this package does not know.
type OtherRequest struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}

// POP says how a request proves possession of its private key.
type POP int

// How a request proves possession (RFC 5272, Section 3.2.1.2; RFC 4211, Section 4).
const (
	// POPNone: no proof: the server asks for one or refuses, with popRequired.
	POPNone POP = iota
	// POPSignature: a signature by the key.
	POPSignature
	// POPRAVerified: the sender says that it has checked. Only an RA may say so, and the caller decides who is one.
	POPRAVerified
	// POPEncryption: the key does not sign; a challenge would be needed (RFC 4211, Sections 4.2 and 4.3).
	POPEncryption
)

// NewPKCS10 returns a request for a PKCS #10 request in DER. Errors: ErrSyntax when crypto/x509 refuses it.
func NewPKCS10(id BodyPartID, der []byte) (Request, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return Request{ID: id, PKCS10: csr}.withRaw()
}

// withRaw returns the request with its bytes, as in one that was parsed.
func (r Request) withRaw() (Request, error) {
	raw, err := r.marshal()
	if err != nil {
		return Request{}, err
	}
	r.Raw = raw
	return r, nil
}

// parseRequest reads a TaggedRequest (RFC 5272, Section 3.2.1.2). It reports the bodyPartID as far as it got.
func parseRequest(der []byte) (Request, error) {
	r := Request{Raw: der}
	var csr []byte
	err := decode(der, "certification request", func(in *input) {
		switch {
		case in.is(contextTag(0)):
			body := in.open(contextTag(0), "PKCS #10 request")
			r.ID = body.bodyPart()
			csr = body.element(cryptobyte_asn1.SEQUENCE, "PKCS #10 request")
			body.end("PKCS #10 request")
		case in.is(contextTag(1)):
			r.CRMF = readCRMF(in.open(contextTag(1), "CRMF request"), &r.ID)
		case in.is(contextTag(2)):
			body := in.open(contextTag(2), "other request")
			r.ID = body.bodyPart()
			r.Other = &OtherRequest{Type: body.oid("type of another request"), Value: body.anything("other request")}
			body.end("other request")
		default:
			in.broken(ErrSyntax, "certification request with an unknown tag")
		}
	})
	if err != nil || csr == nil {
		return r, err
	}
	if r.PKCS10, err = x509.ParseCertificateRequest(csr); err != nil {
		return r, fmt.Errorf("%w: PKCS #10 request: %w", ErrSyntax, err)
	}
	return r, nil
}

// marshal returns the TaggedRequest.
func (r Request) marshal() ([]byte, error) {
	switch {
	case r.Raw != nil:
		return r.Raw, nil
	case r.PKCS10 != nil:
		return encode(func(b *cryptobyte.Builder) {
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) {
				b.AddASN1Uint64(uint64(r.ID))
				addDER(b, r.PKCS10.Raw, "PKCS #10 request")
			})
		})
	case r.Other != nil:
		return encode(func(b *cryptobyte.Builder) {
			b.AddASN1(contextTag(2), func(b *cryptobyte.Builder) {
				b.AddASN1Uint64(uint64(r.ID))
				b.AddASN1ObjectIdentifier(r.Other.Type)
				addDER(b, r.Other.Value, "other request")
			})
		})
	}
	return nil, fmt.Errorf("%w: request %d is empty; CRMF is made by NewCRMF", ErrBuild, r.ID)
}

// Ask returns what is asked for as crypto/x509 shows a PKCS #10 request, whatever the form: RawSubject, Subject, PublicKey,
// PublicKeyAlgorithm, RawSubjectPublicKeyInfo, Extensions and the names of the subjectAltName, so that one profile decides about
// all. For PKCS #10 it is PKCS10 itself. For CRMF the signature and the raw fields of the whole are unset: CheckSignature
// of it proves nothing, VerifyPOP does.
//
// Errors are *Error: noSupport for another kind of request, badRequest for a key or an extension that crypto/x509 refuses.
func (r *Request) Ask() (*x509.CertificateRequest, error) {
	switch {
	case r.PKCS10 != nil:
		return r.PKCS10, nil
	case r.CRMF != nil:
		return r.CRMF.ask(r.ID)
	}
	return nil, r.noSupport()
}

func (r *Request) noSupport() error {
	e := fail(FailBadRequest, fmt.Errorf("%w: certification request of an unknown type", ErrUnsupportedAlgorithm), r.ID)
	e.Status = StatusNoSupport
	return e
}

// SubjectKeyID returns the subject key identifier that the request asks for (RFC 5280, Section 4.2.1.2), or nil. A request
// that is signed by its own key must have one (RFC 5272, Section 3.2).
func (r *Request) SubjectKeyID() []byte {
	asked, err := r.Ask()
	if err != nil {
		return nil
	}
	for _, e := range asked.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 14}) {
			continue
		}
		var ski []byte
		if decode(e.Value, "subject key identifier", func(in *input) { ski = in.octets(MaxOctets, "subject key identifier") }) == nil && len(ski) > 0 {
			return ski
		}
	}
	return nil
}

// POP returns which proof the request has, not whether it is right.
func (r *Request) POP() POP {
	switch {
	case r.PKCS10 != nil:
		return POPSignature
	case r.CRMF != nil:
		return r.CRMF.pop.kind
	}
	return POPNone
}

// VerifyPOP checks the signature that proves possession, over the bytes as received. It returns nil for POPSignature that
// verifies, and for nothing else: for POPRAVerified the caller decides instead of calling it.
//
// Errors are *Error: popFailed for a wrong signature, popRequired for POPNone and POPEncryption, badAlg for SHA-1, MD5, short
// and over-long keys, noSupport for another kind of request.
func (r *Request) VerifyPOP() error {
	asked, err := r.Ask()
	if err != nil {
		return err
	}
	if r.POP() != POPSignature {
		return fail(FailPOPRequired, fmt.Errorf("%w: the request has no signature of its key", ErrPOP), r.ID)
	}
	if r.CRMF != nil {
		// Subject and key are always present, and POPOSigningKeyInput must not be used (RFC 5272, Section 3.2.1.2.2): a
		// signature over it would leave the names of the template open.
		if r.CRMF.pop.input {
			return fail(FailPOPFailed, fmt.Errorf("%w: POPOSigningKeyInput is not for CMC", ErrPOP), r.ID)
		}
		err = r.CRMF.verify(asked)
	} else if err = checkKey(asked); err == nil {
		err = asked.CheckSignature()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrWeakAlgorithm), errors.Is(err, ErrUnsupportedAlgorithm):
		return fail(FailBadAlg, err, r.ID)
	}
	return fail(FailPOPFailed, fmt.Errorf("%w: %w", ErrPOP, err), r.ID)
}

// checkKey refuses what crypto/x509 would verify and today's practice does not take, and keys that are long enough to cost
// seconds.
func checkKey(asked *x509.CertificateRequest) error {
	switch asked.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.MD5WithRSA, x509.MD2WithRSA:
		return fmt.Errorf("%w: %s", ErrWeakAlgorithm, asked.SignatureAlgorithm)
	default:
		return fmt.Errorf("%w: signature algorithm of the request", ErrUnsupportedAlgorithm)
	}
	if key, ok := asked.PublicKey.(*rsa.PublicKey); ok {
		switch bits := key.N.BitLen(); {
		case bits < 2048:
			return fmt.Errorf("%w: RSA key of %d bits", ErrWeakAlgorithm, bits)
		case bits > cms.MaxRSABits:
			return fmt.Errorf("%w: RSA key of %d bits", ErrUnsupportedAlgorithm, bits)
		}
	}
	return nil
}
