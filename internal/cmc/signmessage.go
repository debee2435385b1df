package cmc

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// Signing is who signs a message, and how.
type Signing struct {
	// Key signs: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519.
	Key crypto.Signer
	// Certificate is the key's; nil to sign with the key that is being certified (RFC 5272, Section 3.2), which needs
	// SubjectKeyID.
	Certificate *x509.Certificate
	// SubjectKeyID is the subject key identifier that the request asks for. Only without Certificate.
	SubjectKeyID []byte
	// Chain are further certificates to include: the signer's intermediates, and in a response what was issued. Only with
	// Certificate.
	Chain []*x509.Certificate
	// CRLs are CRLs to include, DER. Only with Certificate.
	CRLs [][]byte
	// Time is the signing time; zero leaves it out.
	Time time.Time
}

func (s *Signing) sign(kind asn1.ObjectIdentifier, der []byte) ([]byte, error) {
	r := &cms.SignRequest{
		ContentType: kind, Content: der, Key: s.Key, Certificate: s.Certificate, Chain: s.Chain, CRLs: s.CRLs, SigningTime: s.Time,
	}
	if s.Certificate == nil {
		if s.Key == nil || len(s.SubjectKeyID) == 0 || len(s.Chain) > 0 || len(s.CRLs) > 0 {
			return nil, fmt.Errorf("%w: without a certificate, a key and the subject key identifier are needed, and nothing else", ErrBuild)
		}
		// Only the key and its identifier are looked at: the certificate is yet to be issued.
		r.Certificate = &x509.Certificate{PublicKey: s.Key.Public(), SubjectKeyId: s.SubjectKeyID}
		r.UseSubjectKeyID, r.OmitCertificates = true, true
	}
	return cms.Sign(r)
}

// SignRequest returns a Full PKI Request: SignedData over the PKIData. Errors: ErrBuild, those of Marshal and of cms.Sign.
func SignRequest(d *PKIData, s *Signing) ([]byte, error) {
	der, err := d.Marshal()
	if err != nil {
		return nil, err
	}
	return s.sign(cms.OIDPKIData(), der)
}

// UnsignedRequest returns a Full PKI Request that nobody signs, for a revocation by passphrase (RFC 5272, Section 6.11).
// Errors: ErrBuild when d is anything else, and those of Marshal.
func UnsignedRequest(d *PKIData) ([]byte, error) {
	if !d.revokesByPassphrase() {
		return nil, fmt.Errorf("%w: only a revocation by passphrase goes unsigned", ErrBuild)
	}
	der, err := d.Marshal()
	if err != nil {
		return nil, err
	}
	return unsigned(cms.OIDPKIData(), der)
}

// NewBatch returns the PKIData with which an RA passes on Full PKI Requests of its clients, unchanged (RFC 5272, Sections
// 6.17 and 7): they are the members of cmsSequence from first+1 on, and a BatchRequests control with the bodyPartID first
// names them. Errors: ErrBuild.
func NewBatch(first BodyPartID, requests ...[]byte) (*PKIData, error) {
	if len(requests) == 0 || len(requests) >= MaxBodyParts || first == 0 || first > math.MaxUint32-MaxBodyParts {
		return nil, fmt.Errorf("%w: a batch has 1 to %d requests and bodyPartIDs above 0", ErrBuild, MaxBodyParts-1)
	}
	d := &PKIData{}
	var ids BatchRequests
	for i, der := range requests {
		id := first + 1 + BodyPartID(i)
		ids = append(ids, id)
		d.Messages = append(d.Messages, Message{ID: id, ContentInfo: der})
	}
	d.Controls = []Control{{ID: first, Value: ids}}
	return d, nil
}

// Envelop puts a Full PKI Request or Response, made by SignRequest or SignResponse, into an envelope for the recipients (RFC
// 5272, Section 5). With outer set, the envelope is signed too. Errors: ErrBuild, and those of cms.Encrypt and cms.Sign.
func Envelop(signed []byte, recipients []*x509.Certificate, outer *Signing) ([]byte, error) {
	inner, err := content(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	enveloped, err := cms.Encrypt(&cms.EncryptRequest{ContentType: cms.OIDSignedData(), Content: inner, Recipients: recipients})
	if err != nil || outer == nil {
		return enveloped, err
	}
	if inner, err = content(enveloped); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	return outer.sign(cms.OIDEnvelopedData(), inner)
}

// SignResponse returns a Full PKI Response: SignedData over the PKIResponse with s.Chain and s.CRLs (RFC 5272, Section 4.2).
// Errors: ErrBuild, those of Marshal and of cms.Sign.
func SignResponse(r *PKIResponse, s *Signing) ([]byte, error) {
	der, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	return s.sign(cms.OIDPKIResponse(), der)
}

// UnsignedResponse returns a Full PKI Response without a signer, for the case that no signature can be made:
// RFC 5272, Section 3.2.1.3.4, has it say internalCAError about body part 0. The RFC's words, a SignedData without content and
// signers, leave no place for the status; this one has the content. UnsignedFailure is the usual one. Errors: ErrBuild and
// those of Marshal.
func UnsignedResponse(r *PKIResponse) ([]byte, error) {
	der, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	return unsigned(cms.OIDPKIResponse(), der)
}

// UnsignedFailure returns the response that says internalCAError about body part 0. The echoes, such as transaction
// identifier and nonce, come after the status.
func UnsignedFailure(echoes ...ControlValue) *PKIResponse {
	status := fail(FailInternalCAError, ErrBuild).StatusInfo()
	r := &PKIResponse{Controls: []Control{{ID: 1, Value: status}}}
	for i, v := range echoes {
		r.Controls = append(r.Controls, Control{ID: BodyPartID(i + 2), Value: v})
	}
	return r
}

// unsigned returns a SignedData (RFC 5652, Section 5.1) with content and without signers.
func unsigned(kind asn1.ObjectIdentifier, der []byte) ([]byte, error) {
	sd, err := encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddASN1(cryptobyte_asn1.SET, func(*cryptobyte.Builder) {})
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(kind)
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(der) })
		})
		b.AddASN1(cryptobyte_asn1.SET, func(*cryptobyte.Builder) {})
	})
	if err != nil {
		return nil, err
	}
	return contentInfo(cms.OIDSignedData(), sd)
}
