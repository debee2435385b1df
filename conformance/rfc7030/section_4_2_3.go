package rfc7030

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkEnrollAnswer() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.2.3-1",
		Citation: "RFC 7030, Section 4.2.3",
		Text:     "an enrollment is answered 200 with a certs-only message that holds the certificate for the CSR's key and no other",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runEnrollAnswer,
	}
}

func runEnrollAnswer(ctx context.Context, t *conformance.Target) error {
	if err := needCredentials(t); err != nil {
		return err
	}
	c, err := newCandidate(t)
	if err != nil {
		return err
	}
	a, err := c.enroll(ctx, t, conformance.AsTarget)
	if err != nil {
		return err
	}
	if err := turnedAway(a); err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", a)
	}
	if got := a.MediaType(); got != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	certs, err := decodeCertsOnly(a.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%v, and its body: %w", a, err)
	case len(certs) != 1:
		return fmt.Errorf("%v with %d certificates, want the issued one alone", a, len(certs))
	case !c.owns(certs[0]):
		return fmt.Errorf("%v with a certificate for another key than the CSR's", a)
	}
	return nil
}

func checkGarbageCSR() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.2.3-2",
		Citation: "RFC 7030, Section 4.2.3",
		Text:     "what is no CSR is answered with a status that says so, and nothing is issued",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runGarbageCSR,
	}
}

// Each body has the right media type and comes from a client the server knows.
func runGarbageCSR(ctx context.Context, t *conformance.Target) error {
	if err := needCredentials(t); err != nil {
		return err
	}
	c, err := newCandidate(t)
	if err != nil {
		return err
	}
	for _, garbage := range []struct {
		what string
		body []byte
	}{
		{"text that is no base64", []byte("this is no CSR at all!\n")},
		{"base64 of what is no ASN.1", encode([]byte("this is no CSR at all"))},
		{"the first half of a CSR", encode(c.csr[:len(c.csr)/2])},
	} {
		a, err := t.Do(ctx, &conformance.Request{
			Method: http.MethodPost, Path: path(t, est.OpSimpleEnroll), ContentType: typePKCS10, Body: garbage.body, As: conformance.AsTarget,
		})
		if err != nil {
			return err
		}
		if err := judgeGarbage(a, garbage.what); err != nil {
			return err
		}
	}
	return nil
}

func judgeGarbage(a *conformance.Answer, what string) error {
	if err := turnedAway(a); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); err == nil && len(certs) > 0 {
		return fmt.Errorf("%v with a certificate to %s", a, what)
	}
	if !a.Refused() {
		return fmt.Errorf("%v to %s, want 400 or another 4xx", a, what)
	}
	return nil
}

// enrolled returns a candidate that has a certificate, or skips: why it has
// none is for RFC7030-4.2.3-1 to say.
func enrolled(ctx context.Context, t *conformance.Target) (*candidate, error) {
	if err := needCredentials(t); err != nil {
		return nil, err
	}
	c, err := newCandidate(t)
	if err != nil {
		return nil, err
	}
	a, err := c.enroll(ctx, t, conformance.AsTarget)
	if err != nil {
		return nil, err
	}
	certs, err := decodeCertsOnly(a.Body)
	if !a.OK() || err != nil {
		return nil, conformance.Skip("%v: no certificate to go on with (see RFC7030-4.2.3-1)", a)
	}
	if c.certificate, err = c.pick(certs); err != nil {
		return nil, conformance.Skip("%v: %v (see RFC7030-4.2.3-1)", a, err)
	}
	return c, nil
}

// pick returns the certificate that has the candidate's key.
func (c *candidate) pick(certs []*x509.Certificate) (*x509.Certificate, error) {
	for _, cert := range certs {
		if c.owns(cert) {
			return cert, nil
		}
	}
	return nil, errors.New("no certificate in it has the CSR's key")
}
