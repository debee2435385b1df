package cmc

import (
	"crypto"
	"crypto/x509"
	"time"
)

// Signing is who signs a message, and how.
type Signing struct {
	// Key signs: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519.
	Key crypto.Signer
	// Certificate is the key's; nil to sign with the key that is being certified (RFC 5272, Section 3.2), which needs SubjectKeyID.
	Certificate *x509.Certificate
	// SubjectKeyID is the subject key identifier that the request asks for. Only without Certificate.
	SubjectKeyID []byte
	// Chain are further certificates to include: the signer's intermediates, and in a response what was issued.
	Chain []*x509.Certificate
	// CRLs are CRLs to include, DER.
	CRLs [][]byte
	// Time is the signing time; zero leaves it out.
	Time time.Time
}

// SignRequest returns a Full PKI Request: SignedData over the PKIData. Errors: ErrBuild, those of Marshal and of cms.Sign.
func SignRequest(d *PKIData, s *Signing) ([]byte, error) { return nil, ErrBuild }

// Envelop puts a Full PKI Request or Response, made by SignRequest or SignResponse, into an envelope for the recipients (RFC 5272, Section 5). With outer set, the envelope is signed too.
// Errors: ErrBuild, and those of cms.Encrypt and cms.Sign.
func Envelop(signed []byte, recipients []*x509.Certificate, outer *Signing) ([]byte, error) {
	return nil, ErrBuild
}

// SignResponse returns a Full PKI Response: SignedData over the PKIResponse with s.Chain and s.CRLs (RFC 5272, Section 4.2). Errors: ErrBuild, those of Marshal
// and of cms.Sign.
func SignResponse(r *PKIResponse, s *Signing) ([]byte, error) { return nil, ErrBuild }

// UnsignedResponse returns a Full PKI Response without a signer, for the case that no signature can be made: RFC 5272, Section 3.2.1.3.4, has it say
// internalCAError about body part 0. UnsignedFailure is the usual content. Errors: ErrBuild and those of Marshal.
func UnsignedResponse(r *PKIResponse) ([]byte, error) { return nil, ErrBuild }

// UnsignedFailure returns the response that says internalCAError about body part 0. The echoes, such as transaction identifier and nonce, come after the status.
func UnsignedFailure(echoes ...ControlValue) *PKIResponse { return &PKIResponse{} }
