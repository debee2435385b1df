package cmc

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// opened is a message with its envelopes off: one of the three forms of RFC 5272, Section 5. Only the outer signatures are
// verified.
type opened struct {
	signed    *cms.SignedData // over PKIData or PKIResponse
	outer     []Signer
	encrypted bool
}

// unwrap takes the envelopes off: SignedData; EnvelopedData over SignedData; SignedData over EnvelopedData over SignedData.
// wrong is what a ContentInfo of another type is.
func unwrap(data []byte, o *OpenOptions, wrong error) (*opened, error) {
	if len(data) > MaxSize {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxSize))
	}
	out := &opened{}
	for {
		der, kind, err := contentType(data)
		if err != nil {
			return nil, fail(FailBadRequest, fmt.Errorf("%w: %w", wrong, err))
		}
		switch {
		case isEnveloped(kind) && !out.encrypted:
			if data, err = decrypt(der, o, wrong); err != nil {
				return nil, err
			}
			out.encrypted = true
		case kind.Equal(cms.OIDSignedData()):
			if out.signed, err = cms.ParseSignedData(der); err != nil {
				return nil, refuseCMS(err)
			}
			if !isEnveloped(out.signed.ContentType) || out.encrypted {
				return out, nil
			}
			if out.outer, err = verifySigners(out.signed, nil, o); err != nil {
				return nil, err
			}
			if len(out.outer) == 0 {
				return nil, fail(FailBadMessageCheck, fmt.Errorf("%w: the outer SignedData", ErrUnsigned))
			}
			if data, err = contentInfo(out.signed.ContentType, out.signed.Content); err != nil {
				return nil, fail(FailBadRequest, fmt.Errorf("%w: content of the outer SignedData", ErrSyntax))
			}
		case kind.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 2}):
			return nil, fail(FailBadRequest, ErrAuthenticatedData)
		default:
			return nil, fail(FailBadRequest, fmt.Errorf("%w: content type %s", wrong, kind))
		}
	}
}

func isEnveloped(kind asn1.ObjectIdentifier) bool {
	return kind.Equal(cms.OIDEnvelopedData()) || kind.Equal(cms.OIDAuthEnvelopedData())
}

// contentType returns a ContentInfo with DER lengths, and its type.
func contentType(data []byte) ([]byte, asn1.ObjectIdentifier, error) {
	der, err := cms.ToDER(data)
	if err != nil {
		return nil, nil, err
	}
	var kind asn1.ObjectIdentifier
	err = decode(der, "ContentInfo", func(in *input) {
		body := in.sequence("ContentInfo")
		kind = body.oid("content type")
		body.element(contextTag(0), "content")
		body.end("ContentInfo")
	})
	return der, kind, err
}

// contentInfo returns a ContentInfo (RFC 5652, Section 3).
func contentInfo(kind asn1.ObjectIdentifier, content []byte) ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(kind)
		b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { addDER(b, content, "content") })
	})
}

// content returns the content of a ContentInfo of ours.
func content(der []byte) ([]byte, error) {
	var out []byte
	err := decode(der, "ContentInfo", func(in *input) {
		body := in.sequence("ContentInfo")
		body.oid("content type")
		wrapped := body.open(contextTag(0), "content")
		out = wrapped.element(cryptobyte_asn1.SEQUENCE, "content")
		wrapped.end("content")
		body.end("ContentInfo")
	})
	return out, err
}

// decrypt returns what is enveloped, as a ContentInfo. A failure is badMessageCheck about the message itself
// (RFC 5272, Section 3.2.1.3.3).
func decrypt(der []byte, o *OpenOptions, wrong error) ([]byte, error) {
	e, err := cms.ParseEnveloped(der)
	if err != nil {
		return nil, refuseCMS(err)
	}
	if !e.ContentType.Equal(cms.OIDSignedData()) {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: enveloped content of type %s", wrong, e.ContentType))
	}
	err = cms.ErrNoRecipient
	for _, key := range o.Keys {
		var plain []byte
		if plain, err = e.Decrypt(key); errors.Is(err, cms.ErrNoRecipient) {
			continue
		}
		if err != nil {
			break
		}
		inner, err := contentInfo(cms.OIDSignedData(), plain)
		if err != nil {
			return nil, fail(FailBadRequest, fmt.Errorf("%w: enveloped content", ErrSyntax))
		}
		return inner, nil
	}
	if errors.Is(err, cms.ErrNoRecipient) {
		err = fmt.Errorf("%w: %w", ErrEncrypted, err)
	}
	if errors.Is(err, cms.ErrWeakAlgorithm) || errors.Is(err, cms.ErrUnsupportedAlgorithm) {
		return nil, fail(FailBadAlg, err)
	}
	return nil, fail(FailBadMessageCheck, err)
}

// verifySigners finds the key of every signer and verifies all signatures. requests may hold the key of the only signer (RFC
// 5272, Section 3.2); nil when there are none.
func verifySigners(sd *cms.SignedData, requests []Request, o *OpenOptions) ([]Signer, error) {
	signers := make([]Signer, 0, len(sd.Signers))
	for _, si := range sd.Signers {
		s := Signer{Info: si}
		var err error
		if s.Certificate, err = signerCertificate(sd, si, o.Certificates); err != nil {
			return nil, refuseCMS(err)
		}
		if s.Certificate != nil {
			err = sd.Verify(si, s.Certificate)
		} else if s.Request, err = signerRequest(sd, si, requests); err == nil {
			err = verifyByRequest(sd, si, s.Request)
		}
		if err != nil {
			return nil, refuseCMS(err)
		}
		signers = append(signers, s)
	}
	return signers, nil
}

// signerCertificate returns nil when there is none.
func signerCertificate(sd *cms.SignedData, si *cms.SignerInfo, known []*x509.Certificate) (*x509.Certificate, error) {
	c, err := sd.SignerCertificate(si)
	if !errors.Is(err, cms.ErrNoSignerCertificate) {
		return c, err
	}
	for _, c := range known {
		if si.Names(c) {
			return c, nil
		}
	}
	return nil, nil
}

// signerRequest returns the request whose key signs. It asks for the subject key identifier that names the signer; two
// requests with the same one leave open whose key is meant, unless it is one key.
func signerRequest(sd *cms.SignedData, si *cms.SignerInfo, requests []Request) (*Request, error) {
	var found *Request
	for i := range requests {
		if ski := requests[i].SubjectKeyID(); ski == nil || si.SubjectKeyID == nil || string(ski) != string(si.SubjectKeyID) {
			continue
		}
		if found != nil && !sameKey(found, &requests[i]) {
			return nil, fmt.Errorf("%w: two requests with its subject key identifier", ErrNoSignerKey)
		}
		if found == nil {
			found = &requests[i]
		}
	}
	if found == nil {
		return nil, ErrNoSignerKey
	}
	if len(sd.Signers) != 1 {
		return nil, ErrSigners
	}
	return found, nil
}

func sameKey(a, b *Request) bool {
	x, errX := a.Ask()
	y, errY := b.Ask()
	return errX == nil && errY == nil && string(x.RawSubjectPublicKeyInfo) == string(y.RawSubjectPublicKeyInfo)
}

func verifyByRequest(sd *cms.SignedData, si *cms.SignerInfo, r *Request) error {
	asked, err := r.Ask()
	if err != nil {
		return err
	}
	return sd.VerifyKey(si, asked.PublicKey)
}

// refuseCMS says what a PKI Response says about an error of package cms, or of the search for a signer. It is about the
// message itself (RFC 5272, Section 3.2.1.3.4).
func refuseCMS(err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, cms.ErrWeakAlgorithm), errors.Is(err, cms.ErrUnsupportedAlgorithm), errors.Is(err, cms.ErrKeySize):
		return fail(FailBadAlg, err)
	case errors.Is(err, cms.ErrSyntax), errors.Is(err, cms.ErrTrailingData), errors.Is(err, cms.ErrTooDeep), errors.Is(err, cms.ErrTooLarge),
		errors.Is(err, cms.ErrVersion), errors.Is(err, cms.ErrNoContent), errors.Is(err, ErrSigners):
		return fail(FailBadRequest, err)
	}
	return fail(FailBadMessageCheck, err)
}
