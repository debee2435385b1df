package estserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// enrollment: simpleenroll's answers (RFC 7030, Section 4.2).
func enrollment() []check {
	return slices.Concat(in("RFC 7030, Section 4.2.3",
		check{
			ID: "RFC7030-4.2.3-1", Level: must,
			Text:         "an enrollment is answered 200 with a certs-only message that holds the certificate for the CSR's key and no other",
			Requirements: rows("EST-7030-4.2.3-01", "EST-7030-4.2.3-02", "EST-7030-3.2.2-03", "EST-7030-3-01"), Run: runEnrollAnswer,
		},
		check{
			ID: "RFC7030-4.2.3-2", Level: must, Text: "what is no CSR is answered with a status that says so, and nothing is issued",
			Requirements: rows("EST-7030-4.2.3-05", "EST-7030-3.2.1-01"), Run: runGarbageCSR,
		},
		check{
			ID: "RFC7030-4.2.3-3", Level: must, Text: "the issued certificate comes as smime-type=certs-only",
			Requirements: rows("EST-7030-4.2.3-03", "EST-7030-3.2.4-01"), Run: runCertsOnlyType,
		},
		check{
			ID: "RFC7030-4.2.3-4", Level: must, Text: "an empty body is refused",
			Requirements: rows("EST-7030-4.2.3-05"), Run: refuses("an empty body", body(func([]byte) []byte { return nil })),
		},
		check{
			ID: "RFC7030-4.2.3-5", Level: must, Text: "an error without a Content-Type is text that people can read",
			Requirements: rows("EST-7030-4.2.3-07"), Run: runErrorText,
		},
		check{
			ID: "RFC7030-4.2.3-6", Level: must, Text: "a request that waits is recognized when it comes again with another signature",
			Requirements: rows("EST-7030-4.2.3-12", "EST-7030-4.2-06", "EST-7030-4.2.3-09"), Run: runWaitsAgain,
		},
	),
		in("RFC 8951, Section 5.1", check{
			ID: "RFC8951-5.1-1", Level: may, Text: "the refusal of an enrollment is text for people, or names its type",
			Requirements: rows("EST-8951-5.1-01", "EST-7030-4.2.3-06", "EST-5272-3.1-04"), Run: runErrorType,
		}),
		in("RFC 5280, Section 4.1", issuedCertificates()...),
	)
}

func runEnrollAnswer(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	_, _ = t.enrolled(ctx) // what the server wants beside; whether it works is judged here
	key, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
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
	if _, err := decode(a.Body); err != nil {
		return conformance.Skip("%v, and its body: %v (see RFC8951-3-8)", a, err)
	}
	if _, err := issued(ctx, a, key); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); err != nil || len(certs) != 1 {
		return fmt.Errorf("%v with %d certificates, want the issued one alone", a, len(certs))
	}
	return nil
}

// Each body has the right media type and comes from a client the server knows.
func runGarbageCSR(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	for _, garbage := range []struct {
		what string
		body []byte
	}{
		{"text that is no base64", []byte("this is no CSR at all!\n")},
		{"base64 of what is no ASN.1", encode([]byte("this is no CSR at all"))},
		{"the first half of a CSR", encode(csr[:len(csr)/2])},
	} {
		a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), garbage.body)
		if err != nil {
			return err
		}
		if err := judgeRefusal(ctx, a, garbage.what); err != nil {
			return err
		}
	}
	return nil
}

// judgeRefusal wants a 4xx and no certificate.
func judgeRefusal(ctx context.Context, a *wire.Answer, what string) error {
	if err := turnedAway(a); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); err == nil && len(certs) > 0 {
		leave(ctx, certs[0])
		return fmt.Errorf("%v with a certificate to %s", a, what)
	}
	if !a.Refused() {
		return fmt.Errorf("%v to %s, want 400 or another 4xx", a, what)
	}
	return nil
}

// waiting enrolls and returns a 202, or skips when the server decides at once.
// At the label for that it asks for a name of its own, because only the first
// enrollment of a name may have to wait.
func (t *Target) waiting(ctx context.Context) (*wire.Answer, error) {
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	subject := t.subject()
	r := t.request(est.OpSimpleEnroll, nil)
	if t.Pending != "" {
		r.Path = est.PathPrefix + "/" + url.PathEscape(t.Pending) + "/" + string(est.OpSimpleEnroll)
		subject.CommonName += "-waits"
		if key, err = t.waitingKey(); err != nil {
			return nil, err
		}
	}
	csr, err := newCSR(key, &x509.CertificateRequest{Subject: subject})
	if err != nil {
		return nil, err
	}
	r.Body = encode(csr)
	a, err := t.do(ctx, t.self(), r)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusAccepted {
		if _, err := issued(ctx, a, key); err != nil {
			return nil, conformance.Skip("%v: no request waits (see RFC7030-4.2.3-1)", a)
		}
		return nil, conformance.Skip("%v: the server decides at once; --pending-label names a label where requests wait for approval", a)
	}
	conformance.Leave(ctx, "a request of %q that waits for approval", subject)
	return a, nil
}

func runCertsOnlyType(ctx context.Context, t *Target) error {
	a, err := t.enrollAnswer(ctx)
	if err != nil {
		return err
	}
	if a.MediaType() != typePKCS7 {
		return conformance.Skip("%v with Content-Type %q (see RFC7030-4.2.3-1)", a, a.Header.Get("Content-Type"))
	}
	if a.Parameter("smime-type") != "certs-only" {
		return fmt.Errorf("%v with Content-Type %q", a, a.Header.Get("Content-Type"))
	}
	return nil
}

// refusal provokes one.
func (t *Target) refusal(ctx context.Context) (*wire.Answer, error) {
	if err := t.needCredentials(); err != nil {
		return nil, err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode([]byte("this is no CSR")))
	if err != nil {
		return nil, err
	}
	if a.Status < 400 {
		return nil, conformance.Skip("%v: it is no refusal (see RFC7030-4.2.3-2)", a)
	}
	return a, nil
}

func runErrorText(ctx context.Context, t *Target) error {
	a, err := t.refusal(ctx)
	if err != nil {
		return err
	}
	if a.Header.Get("Content-Type") == "" {
		return readable(a)
	}
	return nil
}

func runErrorType(ctx context.Context, t *Target) error {
	a, err := t.refusal(ctx)
	if err != nil {
		return err
	}
	return readable(a)
}

// readable wants text, or nothing, or a type that says what else it is.
func readable(a *wire.Answer) error {
	switch a.MediaType() {
	case "", "text/plain":
		if !utf8.Valid(a.Body) || bytes.ContainsFunc(a.Body, func(c rune) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' }) {
			return fmt.Errorf("%v, and its body is not text", a)
		}
		return nil
	case typePKCS7:
		if a.Parameter("smime-type") == "certs-only" {
			return fmt.Errorf("%v and says that it has certificates", a)
		}
		return nil
	default:
		return nil
	}
}

func runWaitsAgain(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	if _, err := t.waiting(ctx); err != nil {
		return err
	}
	a, err := t.waiting(ctx)
	if conformance.IsSkip(err) {
		return fmt.Errorf("the same request did not wait when it came again: %v", err) // not as a reason to skip
	}
	if err != nil {
		return err
	}
	if a.Status != http.StatusAccepted {
		return fmt.Errorf("%v to a request that came before and waits", a)
	}
	return nil
}

// issuedCertificates: what the CA behind the server puts its name to.
func issuedCertificates() []check {
	judge := func(f func(cert *x509.Certificate, issuers []*x509.Certificate) error) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error {
			id, err := t.enrolled(ctx)
			if err != nil {
				return err
			}
			_, certs, err := t.caCertificates(ctx)
			if err != nil {
				return err
			}
			return f(id.certificate, certs)
		}
	}
	return []check{
		{
			ID: "RFC5280-4.1-1", Level: must, Text: "issued certificates are of version 3",
			Requirements: rows("EST-5280-4.1.2.1-01"), Run: judge(func(c *x509.Certificate, _ []*x509.Certificate) error {
				if c.Version != 3 {
					return fmt.Errorf("the certificate %x is of version %d", c.SerialNumber, c.Version)
				}
				return nil
			}),
		},
		{
			ID: "RFC5280-4.1-2", Level: must, Text: "the serial number is positive and at most 20 octets",
			Requirements: rows("EST-5280-4.1.2.2-01"), Run: judge(func(c *x509.Certificate, _ []*x509.Certificate) error {
				if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 159 {
					return fmt.Errorf("the serial number is %x", c.SerialNumber)
				}
				return nil
			}),
		},
		{
			ID: "RFC5280-4.1-3", Level: must, Text: "the issuer's name is the CA's, byte for byte, and its key identifier too",
			Requirements: rows("EST-5280-4.1.2.4-01", "EST-5280-4.2.1.1-01"), Run: judge(issuerNamed),
		},
		{
			ID: "RFC5280-4.1-4", Level: should, Text: "an issued certificate does not outlive its issuer",
			Requirements: rows("EST-5280-4.1.2.5-02"), Run: judge(func(c *x509.Certificate, certs []*x509.Certificate) error {
				issuer := issuerOf(c, certs)
				if issuer != nil && c.NotAfter.After(issuer.NotAfter) {
					return fmt.Errorf("the certificate ends %v, its issuer %v", c.NotAfter, issuer.NotAfter)
				}
				return nil
			}),
		},
		{
			ID: "RFC5280-4.1-5", Level: should, Text: "an issued certificate can be used to re-enroll: if it names extended key usages, clientAuth is one",
			Requirements: rows("EST-5280-4.2.1.12-01"), Run: judge(func(c *x509.Certificate, _ []*x509.Certificate) error {
				if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
					return fmt.Errorf("the extended key usages are %v and %v", c.ExtKeyUsage, c.UnknownExtKeyUsage)
				}
				return nil
			}),
		},
	}
}

// issuerOf finds the CA whose key signed c; nil for none.
func issuerOf(c *x509.Certificate, certs []*x509.Certificate) *x509.Certificate {
	for _, ca := range certs {
		if c.CheckSignatureFrom(ca) == nil {
			return ca
		}
	}
	return nil
}

func issuerNamed(c *x509.Certificate, certs []*x509.Certificate) error {
	issuer := issuerOf(c, certs)
	switch {
	case issuer == nil:
		return conformance.Skip("no CA certificate has the key that signed %x (see RFC7030-4.1.3-5)", c.SerialNumber)
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("the certificate %x names the issuer %q, the CA is %q", c.SerialNumber, c.Issuer, issuer.Subject)
	case !bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId):
		return fmt.Errorf("the certificate %x names the issuer's key %x, the CA's is %x", c.SerialNumber, c.AuthorityKeyId, issuer.SubjectKeyId)
	default:
		return nil
	}
}
