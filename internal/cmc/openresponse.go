package cmc

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/briskest/briskest/internal/cms"
)

// Response is a PKI Response that was opened.
type Response struct {
	// Simple tells a Simple PKI Response (RFC 5272, Section 4.1): certificates and nothing else. Data is nil then, and
	// Signers are empty.
	Simple bool
	Data   *PKIResponse
	// Signers are those who signed; their signatures verify, and nothing says whether they are trusted. Empty in a Simple
	// Response and in one that its server could not sign: then Data is good for nothing but to be shown.
	Signers []Signer
	// OuterSigners are those who signed an envelope around the response; mostly empty.
	OuterSigners []Signer
	// Encrypted tells that the response came enveloped.
	Encrypted bool
	// Certificates are all that came, in order of appearance. A self-signed one is no trust anchor because it is here
	// (RFC 5272, Section 4.1), and the order says nothing: look for the certificate of the own key.
	Certificates []*x509.Certificate
	// CRLs came with it, DER.
	CRLs [][]byte
}

// OpenResponse opens a Full or Simple PKI Response of at most MaxSize bytes and verifies its signatures. It may be enveloped as a
// request may (RFC 5272, Section 5). o may be nil.
//
// Errors are *Error: badMessageCheck for a signature that does not verify or whose certificate is unknown, badAlg,
// badRequest with ErrNotResponse or those of ParsePKIResponse.
func OpenResponse(data []byte, o *OpenOptions) (*Response, error) {
	if o == nil {
		o = &OpenOptions{}
	}
	m, err := unwrap(data, o, ErrNotResponse)
	if err != nil {
		return nil, err
	}
	sd := m.signed
	r := &Response{OuterSigners: m.outer, Encrypted: m.encrypted, Certificates: sd.Certificates, CRLs: sd.CRLs}
	if len(sd.UnreadableCertificates) > 0 {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: a certificate in it cannot be read: %w", ErrNotResponse, sd.UnreadableCertificates[0].Err))
	}
	if sd.Content == nil && len(sd.Signers) == 0 && sd.ContentType.Equal(cms.OIDData()) {
		if len(sd.Certificates) == 0 && len(sd.CRLs) == 0 {
			return nil, fail(FailBadRequest, fmt.Errorf("%w: neither content nor certificates", ErrNotResponse))
		}
		r.Simple = true
		return r, nil
	}
	if !sd.ContentType.Equal(cms.OIDPKIResponse()) || sd.Content == nil {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: content of type %s, or none", ErrNotResponse, sd.ContentType))
	}
	if r.Signers, err = verifySigners(sd, nil, o); err != nil {
		return nil, err
	}
	r.Data, err = ParsePKIResponse(sd.Content)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// CertificateFor returns the certificate for the public key, wherever it is in the answer (RFC 5272, Section 4.1, gives no
// order), or nil; of several the one that becomes valid last.
func (r *Response) CertificateFor(key crypto.PublicKey) *x509.Certificate {
	public, ok := key.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil
	}
	var found *x509.Certificate
	for _, c := range r.Certificates {
		if public.Equal(c.PublicKey) && (found == nil || c.NotBefore.After(found.NotBefore)) {
			found = c
		}
	}
	return found
}

// Match returns the certificates whose hashes the control has (RFC 5272, Section 6.15), in the order of the hashes. Errors:
// ErrUnsupportedAlgorithm, ErrWeakAlgorithm, and ErrReference when a hash has no certificate: then none is to be trusted.
func (t *TrustAnchors) Match(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	hash, err := hashOf(t.Hash)
	if err != nil {
		return nil, err
	}
	if hash == crypto.SHA1 {
		return nil, fmt.Errorf("%w: SHA-1", ErrWeakAlgorithm)
	}
	byHash := make(map[string]*x509.Certificate, len(certs))
	for _, c := range certs {
		h := hash.New()
		h.Write(c.Raw)
		byHash[string(h.Sum(nil))] = c
	}
	var out []*x509.Certificate
	for _, h := range t.Hashes {
		c := byHash[string(h)]
		if c == nil {
			return nil, fmt.Errorf("%w: trust anchor with the hash %x", ErrReference, h)
		}
		out = append(out, c)
	}
	return out, nil
}
