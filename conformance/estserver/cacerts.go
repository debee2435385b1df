package estserver

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// caCerts: the distribution of CA certificates (RFC 7030, Section 4.1).
func caCerts() []check {
	return slices.Concat(
		in("RFC 7030, Section 4.1.2",
			check{
				ID: "RFC7030-4.1.2-1", Level: should, Text: "CA certificates are given to clients that are not authenticated",
				Requirements: rows("EST-7030-4.1.2-03"), Run: runCACertsForEverybody,
			},
		),
		in("RFC 7030, Section 4.1.3",
			check{
				ID: "RFC7030-4.1.3-1", Level: must, Text: "CA certificates come with status 200",
				Requirements: rows("EST-7030-4.1.3-01", "EST-7030-3.2.2-02"), Run: runCACertsStatus,
			},
			check{
				ID: "RFC7030-4.1.3-2", Level: must, Text: "CA certificates come as application/pkcs7-mime",
				Requirements: rows("EST-7030-4.1.3-04", "EST-7030-3.2.4-01"), Run: runCACertsMediaType,
			},
			check{
				ID: "RFC7030-4.1.3-3", Level: must, Text: "CA certificates come as the base64 of a certs-only CMS message",
				Requirements: rows("EST-7030-4.1.3-03", "EST-8951-3-03"), Run: runCACertsBody,
			},
			check{
				ID: "RFC7030-4.1.3-4", Level: must, Text: "the current root is among the CA certificates",
				Requirements: rows("EST-7030-4.1.3-05"), Run: runCACertsRoot,
			},
		),
	)
}

func runCACertsForEverybody(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCACerts, nobody())
	if err != nil {
		return err
	}
	if !a.OK() {
		return fmt.Errorf("%v to a client that is nobody, want 200", a)
	}
	return nil
}

func runCACertsStatus(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCACerts, t.self())
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", a)
	}
	return nil
}

func runCACertsMediaType(ctx context.Context, t *Target) error {
	a, err := t.cacerts(ctx)
	if err != nil {
		return err
	}
	if got := a.MediaType(); got != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	return nil
}

func runCACertsBody(ctx context.Context, t *Target) error {
	a, err := t.cacerts(ctx)
	if err != nil {
		return err
	}
	if _, err := decodeCertsOnly(a.Body); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

func runCACertsRoot(ctx context.Context, t *Target) error {
	a, certs, err := t.caCertificates(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(certs, isRoot) {
		return fmt.Errorf("%v with %d certificates, none of which is self-signed", a, len(certs))
	}
	return nil
}

// isRoot reports whether c is a CA certificate under a signature of its own.
func isRoot(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// cacerts asks for the CA certificates, and skips when there is no answer
// whose body could be judged.
func (t *Target) cacerts(ctx context.Context) (*wire.Answer, error) {
	a, err := t.get(ctx, est.OpCACerts, t.self())
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, conformance.Skip("%v: no body to judge (see RFC7030-4.1.3-1)", a)
	}
	return a, nil
}

// caCertificates asks for the CA certificates and reads them, or skips.
func (t *Target) caCertificates(ctx context.Context) (*wire.Answer, []*x509.Certificate, error) {
	a, err := t.cacerts(ctx)
	if err != nil {
		return nil, nil, err
	}
	certs, err := decodeCertsOnly(a.Body)
	if err != nil {
		return nil, nil, conformance.Skip("%v, and its body cannot be read: %v (see RFC7030-4.1.3-3)", a, err)
	}
	return a, certs, nil
}
