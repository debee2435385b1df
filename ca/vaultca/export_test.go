package vaultca

import (
	"crypto/x509"

	"github.com/briskest/briskest/ca/delegate"
)

// ReadAnswers is for the fuzz test: a body as the answer to a signature, to a
// login, and as a refusal.
func ReadAnswers(body []byte) (raw []byte, between []*x509.Certificate, token string, said string, err error) {
	a := &delegate.Answer{Status: 200, Body: body}
	raw, between, err = readBundle(a)
	if got, err := readAuth(a); err == nil {
		token = got.Token
	}
	return raw, between, token, sentence(a), err
}
