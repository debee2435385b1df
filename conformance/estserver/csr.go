package estserver

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// newCSR makes the DER of a CSR.
func newCSR(key crypto.Signer, template *x509.CertificateRequest) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	return csr, nil
}

// plainCSR is a CSR for the target's name with the key of the run.
func (t *Target) plainCSR() (crypto.Signer, []byte, error) {
	key, err := t.key()
	if err != nil {
		return nil, nil, err
	}
	csr, err := newCSR(key, &x509.CertificateRequest{Subject: t.subject()})
	return key, csr, err
}

// encode returns base64 in one line with a final newline (RFC 8951, Section 3.1).
func encode(der []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(nil, der), '\n')
}
