package rfc7030

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"

	"github.com/briskest/briskest/conformance"
)

// candidate is a client with a key that wants a certificate.
type candidate struct {
	key         crypto.Signer
	csr         []byte            // DER
	certificate *x509.Certificate // once it has one
}

// newCandidate makes a CSR with the target's key, or a new one when it has
// none, for the target's subject, or CN=conformance when that is empty.
func newCandidate(t *conformance.Target) (*candidate, error) {
	subject := t.Subject
	if len(subject.ToRDNSequence()) == 0 {
		subject = pkix.Name{CommonName: "conformance"}
	}
	key := t.Key
	if key == nil {
		var err error
		if key, err = newKey(); err != nil {
			return nil, err
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	return &candidate{key: key, csr: csr}, nil
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// renewal makes a CSR with key for subject or, when that is empty, for the
// subject of the candidate's certificate byte for byte. The SubjectAltName is
// the certificate's (RFC 7030, Section 4.2.2).
func (c *candidate) renewal(key crypto.Signer, subject pkix.Name) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: subject}
	if len(subject.ToRDNSequence()) == 0 {
		template.RawSubject = c.certificate.RawSubject
	}
	subjectAltName := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, e := range c.certificate.Extensions {
		if e.Id.Equal(subjectAltName) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	return csr, nil
}

// owns reports whether cert has the candidate's key.
func (c *candidate) owns(cert *x509.Certificate) bool {
	public, ok := c.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// body returns the CSR as it is sent.
func (c *candidate) body() []byte { return encode(c.csr) }

// encode returns base64 in one line with a final newline (RFC 8951, Section 3.1).
func encode(der []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(nil, der), '\n')
}
