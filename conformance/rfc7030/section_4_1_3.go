package rfc7030

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkCACertsStatus() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.1.3-1",
		Citation: "RFC 7030, Section 4.1.3",
		Text:     "CA certificates come with status 200",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runCACertsStatus,
	}
}

func runCACertsStatus(ctx context.Context, t *conformance.Target) error {
	a, err := get(ctx, t, est.OpCACerts, conformance.AsTarget)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", a)
	}
	return nil
}

func checkCACertsMediaType() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.1.3-2",
		Citation: "RFC 7030, Section 4.1.3",
		Text:     "CA certificates come as application/pkcs7-mime",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runCACertsMediaType,
	}
}

func runCACertsMediaType(ctx context.Context, t *conformance.Target) error {
	a, err := cacerts(ctx, t)
	if err != nil {
		return err
	}
	if got := a.MediaType(); got != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	return nil
}

func checkCACertsBody() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.1.3-3",
		Citation: "RFC 7030, Section 4.1.3",
		Text:     "CA certificates come as the base64 of a certs-only CMS message",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runCACertsBody,
	}
}

func runCACertsBody(ctx context.Context, t *conformance.Target) error {
	a, err := cacerts(ctx, t)
	if err != nil {
		return err
	}
	if _, err := decodeCertsOnly(a.Body); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

func checkCACertsRoot() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.1.3-4",
		Citation: "RFC 7030, Section 4.1.3",
		Text:     "the current root is among the CA certificates",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runCACertsRoot,
	}
}

func runCACertsRoot(ctx context.Context, t *conformance.Target) error {
	a, err := cacerts(ctx, t)
	if err != nil {
		return err
	}
	certs, err := decodeCertsOnly(a.Body)
	if err != nil {
		return conformance.Skip("%v, and its body cannot be read: %v (see RFC7030-4.1.3-3)", a, err)
	}
	for _, c := range certs {
		if isRoot(c) {
			return nil
		}
	}
	return fmt.Errorf("%v with %d certificates, none of which is self-signed", a, len(certs))
}

// isRoot reports whether c is a CA certificate under a signature of its own.
func isRoot(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// cacerts asks for the CA certificates, and skips when there is no answer
// whose body could be judged.
func cacerts(ctx context.Context, t *conformance.Target) (*conformance.Answer, error) {
	a, err := get(ctx, t, est.OpCACerts, conformance.AsTarget)
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, conformance.Skip("%v: no body to judge (see RFC7030-4.1.3-1)", a)
	}
	return a, nil
}
