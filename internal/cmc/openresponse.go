package cmc

import (
	"crypto/x509"
)

// Response is a PKI Response that was opened.
type Response struct {
	// Simple tells a Simple PKI Response (RFC 5272, Section 4.1): certificates and nothing else. Data is nil then, and Signers are empty.
	Simple bool
	Data   *PKIResponse
	// Signers are those who signed; their signatures verify, and nothing says whether they are trusted. Empty in a Simple Response and in one that its server could not
	// sign: then Data is good for nothing but to be shown.
	Signers []Signer
	// OuterSigners are those who signed an envelope around the response; mostly empty.
	OuterSigners []Signer
	// Encrypted tells that the response came enveloped.
	Encrypted bool
	// Certificates are all that came, in order of appearance. A self-signed one is no trust anchor because it is here (RFC 5272, Section 4.1), and the order says nothing: look
	// for the certificate of the own key.
	Certificates []*x509.Certificate
	// CRLs came with it, DER.
	CRLs [][]byte
}

// OpenResponse opens a Full or Simple PKI Response of at most MaxSize bytes and verifies its signatures. It may be enveloped as a request may (RFC 5272, Section 5). o may be nil.
//
// Errors are *Error: badMessageCheck for a signature that does not verify or whose certificate is unknown, badAlg, badRequest with ErrNotResponse or those of ParsePKIResponse.
func OpenResponse(data []byte, o *OpenOptions) (*Response, error) {
	return nil, fail(FailBadRequest, ErrNotResponse)
}

// CertificateFor returns the certificate for the public key, wherever it is in the answer (RFC 5272, Section 4.1, gives no order), or nil.
func (r *Response) CertificateFor(key any) *x509.Certificate { return nil }

// Match returns the certificates whose hash the control has (RFC 5272, Section 6.15). Errors: ErrUnsupportedAlgorithm, ErrWeakAlgorithm,
// and ErrReference when a hash has no certificate: then none is to be trusted.
func (t *TrustAnchors) Match(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	return nil, ErrReference
}
