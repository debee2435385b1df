package revocation

import (
	"crypto/x509"

	"golang.org/x/crypto/ocsp"
)

// Idle waits until nothing is being fetched.
func (f *Fetcher) Idle() { f.wait.Wait() }

// Kept returns how many lists, answers and failures are kept.
func (f *Fetcher) Kept() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kept)
}

// ParseOCSP is parseOCSP.
func ParseOCSP(body []byte, cert, issuer *x509.Certificate) (*ocsp.Response, error) {
	id, err := newCertID(cert, issuer)
	if err != nil {
		return nil, err
	}
	return parseOCSP(body, cert, issuer, id)
}
