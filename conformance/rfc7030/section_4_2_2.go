package rfc7030

import (
	"context"
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
// to the first and yes to the second has compared them.
func runReenrollNames(ctx context.Context, t *conformance.Target) error {
	c, err := enrolled(ctx, t)
	if err != nil {
		return err
	}
	changed, err := c.renewal(pkix.Name{CommonName: "briskest-somebody-else"})
	if err != nil {
		return err
	}
	a, err := c.reenroll(ctx, t, changed)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusAccepted:
		return turnedAway(a)
	case !a.Refused():
		return fmt.Errorf("%v to a CSR for %q from the holder of %q, want 403 or another 4xx", a, "CN=briskest-somebody-else", c.certificate.Subject)
	}
	same, err := c.renewal(pkix.Name{})
	if err != nil {
		return err
	}
	control, err := c.reenroll(ctx, t, same)
	if err != nil {
		return err
	}
	if !control.OK() {
		return conformance.Skip("%v to an unchanged subject too: its refusal of another one says nothing", control)
	}
	return nil
}

// reenroll sends a CSR to simplereenroll over a connection authenticated with
// the candidate's certificate.
func (c *candidate) reenroll(ctx context.Context, t *conformance.Target, csr []byte) (*conformance.Answer, error) {
	return t.Do(ctx, &conformance.Request{
		Method: http.MethodPost, Path: path(t, est.OpSimpleReenroll), ContentType: typePKCS10, Body: encode(csr),
		As: conformance.WithCertificate,
		Certificate: &tls.Certificate{
			Certificate: [][]byte{c.certificate.Raw}, PrivateKey: c.key, Leaf: c.certificate,
		},
	})
}
