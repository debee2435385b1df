package estserver

import (
	"bytes"
	"context"
	"crypto/tls"
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
			check{
				ID: "RFC7030-4.1.2-2", Level: should, Text: "CA certificates are given to clients whose certificate is unknown or has expired",
				Requirements: rows("EST-7030-4.1.2-03"), Run: runCACertsForStrangers,
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
				ID: "RFC7030-4.1.3-3", Level: must, Text: "CA certificates come as a certs-only CMS message",
				Requirements: rows("EST-7030-4.1.3-03"), Run: runCACertsBody,
			},
			check{
				ID: "RFC7030-4.1.3-4", Level: must, Text: "the current root is among the CA certificates",
				Requirements: rows("EST-7030-4.1.3-05"), Run: runCACertsRoot,
			},
			check{
				ID: "RFC7030-4.1.3-5", Level: must, Text: "the CA certificates alone lead from an issued certificate to the root",
				Requirements: rows("EST-7030-4.1.3-06"), Run: runCACertsPath,
			},
			check{
				ID: "RFC7030-4.1.3-6", Level: should, Text: "CA certificates come as smime-type=certs-only",
				Requirements: rows("EST-7030-4.1.3-04"), Run: runCACertsParameter,
			},
			check{
				ID: "RFC7030-4.1.3-7", Level: should, Text: "where the root has changed, the old and the new are linked in both directions",
				Requirements: rows("EST-7030-4.1.3-07", "EST-4210-4.4-01"), Run: runRollover,
			},
			check{
				ID: "RFC7030-4.1.3-8", Level: must, Text: "each of the CA certificates is a CA's",
				Requirements: rows("EST-5280-4.2.1.9-01"), Run: runAllCAs,
			},
		),
		in("RFC 5652, Section 5.1",
			check{
				ID: "RFC5652-5.1-1", Level: must, Text: "a certs-only message is SignedData of version 1 over no content of type id-data, with no signer and no digest algorithm",
				Requirements: rows("EST-5652-5.1-01"), Run: runDegenerate,
			},
			check{
				ID: "RFC5652-5.1-2", Level: must, Text: "a certs-only message is DER: definite lengths, and nothing left over",
				Requirements: rows("EST-5652-5.1-03", "EST-8951-3-03"), Run: runCACertsDER,
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
	a, der, err := t.cacertsDER(ctx)
	if err != nil {
		return err
	}
	if len(der) > 1 && der[1] == 0x80 {
		return conformance.Skip("%v, and its body is BER (see RFC5652-5.1-2)", a)
	}
	if _, err := parseCertsOnly(der); err != nil {
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
		return nil, nil, conformance.Skip("%v, and its body cannot be read: %v (see RFC8951-3-7 and RFC7030-4.1.3-3)", a, err)
	}
	return a, certs, nil
}

func runCACertsForStrangers(ctx context.Context, t *Target) error {
	stranger, err := t.foreignRA(ctx)
	if err != nil {
		return err
	}
	control, err := t.get(ctx, est.OpCACerts, nobody())
	if err != nil {
		return err
	}
	expired, err := t.expired()
	if err != nil {
		return err
	}
	for what, certificate := range map[string]*tls.Certificate{"of an unknown CA": stranger, "that has expired": expired} {
		a, err := t.get(ctx, est.OpCACerts, as{certificate: certificate})
		if err != nil {
			return fmt.Errorf("with a client certificate %s: %w", what, err)
		}
		if !a.OK() && control.OK() {
			return fmt.Errorf("%v to a client with a certificate %s, and %d without", a, what, control.Status)
		}
	}
	return nil
}

func runCACertsPath(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	a, certs, err := t.caCertificates(ctx)
	if err != nil {
		return err
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range certs {
		if isRoot(c) {
			roots.AddCert(c)
		} else {
			intermediates.AddCert(c)
		}
	}
	if !slices.ContainsFunc(certs, isRoot) {
		return conformance.Skip("%v without a root (see RFC7030-4.1.3-4)", a)
	}
	_, err = id.certificate.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%v with %d certificates, which do not lead from the issued one to a root: %w", a, len(certs), err)
	}
	return nil
}

func runCACertsParameter(ctx context.Context, t *Target) error {
	a, err := t.cacerts(ctx)
	if err != nil {
		return err
	}
	if a.MediaType() != typePKCS7 {
		return conformance.Skip("%v with Content-Type %q (see RFC7030-4.1.3-2)", a, a.Header.Get("Content-Type"))
	}
	if a.Parameter("smime-type") != "certs-only" {
		return fmt.Errorf("%v with Content-Type %q", a, a.Header.Get("Content-Type"))
	}
	return nil
}

// runRollover wants, of each two roots of one name, a certificate of each
// one's key under the other's signature.
func runRollover(ctx context.Context, t *Target) error {
	a, certs, err := t.caCertificates(ctx)
	if err != nil {
		return err
	}
	pairs := 0
	for i, one := range certs {
		for _, other := range certs[i+1:] { // which is older does not matter: they may be of one second
			if !isRoot(one) || !isRoot(other) || !bytes.Equal(one.RawSubject, other.RawSubject) || bytes.Equal(one.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
				continue
			}
			pairs++
			if !crossed(certs, one, other) || !crossed(certs, other, one) {
				return fmt.Errorf("%v with two roots of the name %q, and not both certificates between them", a, one.Subject)
			}
		}
	}
	if pairs == 0 {
		return conformance.Skip("%v: no root has changed; ask again while one does", a)
	}
	return nil
}

// crossed reports whether there is a certificate for by's key under of's signature.
func crossed(certs []*x509.Certificate, of, by *x509.Certificate) bool {
	return slices.ContainsFunc(certs, func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawSubjectPublicKeyInfo, by.RawSubjectPublicKeyInfo) && c.CheckSignatureFrom(of) == nil && c.IsCA
	})
}

func runAllCAs(ctx context.Context, t *Target) error {
	a, certs, err := t.caCertificates(ctx)
	if err != nil {
		return err
	}
	for _, c := range certs {
		if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fmt.Errorf("%v with the certificate of %q, which cannot sign certificates", a, c.Subject)
		}
	}
	return nil
}

// cacertsDER is the decoded body; skips where that is no base64.
func (t *Target) cacertsDER(ctx context.Context) (*wire.Answer, []byte, error) {
	a, err := t.cacerts(ctx)
	if err != nil {
		return nil, nil, err
	}
	der, err := decode(a.Body)
	if err != nil {
		return nil, nil, conformance.Skip("%v, and its body: %v (see RFC8951-3-7)", a, err)
	}
	return a, der, nil
}

func runDegenerate(ctx context.Context, t *Target) error {
	a, der, err := t.cacertsDER(ctx)
	if err != nil {
		return err
	}
	if _, err := parseCertsOnly(der); err != nil {
		return conformance.Skip("%v, and its body: %v (see RFC7030-4.1.3-3)", a, err)
	}
	if err := degenerate(der); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

func runCACertsDER(ctx context.Context, t *Target) error {
	a, der, err := t.cacertsDER(ctx)
	if err != nil {
		return err
	}
	if len(der) > 1 && der[1] == 0x80 {
		return fmt.Errorf("%v, and its body has an indefinite length", a)
	}
	return nil
}
