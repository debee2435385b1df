package rfc7030

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkReenrollNames() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.2.2-1",
		Citation: "RFC 7030, Section 4.2.2",
		Text:     "a re-enrollment for another subject than that of the client's certificate is refused",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runReenrollNames,
	}
}

// The other subject is asked for first, with a certificate just issued; then
// the same is asked for the certificate's own names. Only a server that says no
// to the first and yes to the second has compared them. Some refuse every
// renewal with the old key, so both are asked with a new one where need be.
func runReenrollNames(ctx context.Context, t *conformance.Target) error {
	c, err := enrolled(ctx, t)
	if err != nil {
		return err
	}
	fresh, err := newKey()
	if err != nil {
		return err
	}
	var control *conformance.Answer
	for _, key := range []crypto.Signer{c.key, fresh} {
		if err := c.refusesOther(ctx, t, key); err != nil {
			return err
		}
		if control, err = c.reenroll(ctx, t, key, pkix.Name{}); err != nil {
			return err
		}
		if control.OK() {
			return nil
		}
	}
	return conformance.Skip("%v to an unchanged subject too: its refusal of another one says nothing", control)
}

// refusesOther asks for another subject than the candidate's certificate has.
func (c *candidate) refusesOther(ctx context.Context, t *conformance.Target, key crypto.Signer) error {
	other := pkix.Name{CommonName: "briskest-somebody-else"}
	a, err := c.reenroll(ctx, t, key, other)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusAccepted:
		return turnedAway(a)
	case !a.Refused():
		return fmt.Errorf("%v to a CSR for %q from the holder of %q, want 403 or another 4xx", a, other, c.certificate.Subject)
	default:
		return nil
	}
}

// reenroll asks simplereenroll for a certificate for key and subject, as
// [candidate.renewal] has it, over a connection authenticated with the
// candidate's certificate.
func (c *candidate) reenroll(ctx context.Context, t *conformance.Target, key crypto.Signer, subject pkix.Name) (*conformance.Answer, error) {
	csr, err := c.renewal(key, subject)
	if err != nil {
		return nil, err
	}
	return t.Do(ctx, &conformance.Request{
		Method: http.MethodPost, Path: path(t, est.OpSimpleReenroll), ContentType: typePKCS10, Body: encode(csr),
		As: conformance.WithCertificate,
		Certificate: &tls.Certificate{
			Certificate: [][]byte{c.certificate.Raw}, PrivateKey: c.key, Leaf: c.certificate,
		},
	})
}
