package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/conformance/wire"
)

// estServer: what a registrar owes a pledge as its EST server.
func estServer() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.6.1", check{
			ID: "RFC7030-3.6.1-REG-1", Level: must, Text: "the registrar's TLS certificate has id-kp-cmcRA, or is a CA's",
			Requirements: rows("BRSKI-EST-7030-3.6.1-01"), Run: runServerUsage,
		}),
		in("RFC 7030, Section 4.1.2", check{
			ID: "RFC7030-4.1.2-REG-1", Level: should, Text: "cacerts is answered without a client certificate",
			Requirements: rows("BRSKI-EST-7030-4.1-01"), Run: runCACertsForEverybody,
		}),
		in("RFC 7030, Section 4.1.3", check{
			ID: "RFC7030-4.1.3-REG-1", Level: must, Text: "cacerts is application/pkcs7-mime with base64 of certificates alone",
			Requirements: rows("BRSKI-EST-7030-4.1-01"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathCACerts})
				if err != nil {
					return err
				}
				return certsOnlyAnswer(a)
			},
		}),
		in("RFC 7030, Section 4.2.2",
			check{
				ID: "RFC7030-4.2.2-REG-1", Level: must, Text: "a renewal under another subject is refused",
				Requirements: rows("BRSKI-EST-7030-4.2.2-01"), Run: renewedAs(func(c *x509.CertificateRequest, leaf *x509.Certificate) {
					c.RawSubject, c.Subject = nil, pkix.Name{SerialNumber: leaf.Subject.SerialNumber + "-other"}
				}),
			},
			check{
				ID: "RFC7030-4.2.2-REG-2", Level: must, Text: "a renewal under another SubjectAltName is refused",
				Requirements: rows("BRSKI-EST-7030-4.2.2-01"), Run: renewedAs(func(c *x509.CertificateRequest, _ *x509.Certificate) {
					c.ExtraExtensions, c.DNSNames = nil, []string{"conformance.example"}
				}),
			},
		),
		in("RFC 7030, Section 4.2.3", check{
			ID: "RFC7030-4.2.3-REG-1", Level: must, Text: "the enrolled and the renewed certificate come as application/pkcs7-mime with certificates alone",
			Requirements: rows("BRSKI-EST-7030-4.2-01"), Run: runEnrollType,
		}),
		in("RFC 7030, Section 4.5.2", check{
			ID: "RFC7030-4.5.2-REG-1", Level: must, Text: "csrattrs is base64 of a SEQUENCE of OIDs and attributes, or 204 or 404 where there are none",
			Requirements: rows("BRSKI-EST-7030-4.5-01"), Run: runCSRAttrsForm,
		}),
		in("RFC 8951, Section 3",
			lines("RFC8951-3-REG-1", "a CSR in base64 without line breaks is certified, Content-Transfer-Encoding or not", func(text string) string { return text }),
			lines("RFC8951-3-REG-2", "a CSR in base64 in lines of 64 characters is certified, Content-Transfer-Encoding or not", func(text string) string {
				var b strings.Builder
				for part := range slices.Chunk([]byte(text), 64) {
					b.Write(part)
					b.WriteString("\r\n")
				}
				return b.String()
			}),
		),
	)
}

func runServerUsage(ctx context.Context, t *Target) error {
	c, err := t.Dial(ctx, &wire.Options{Certificate: t.Pledge, Untrusted: true})
	if err != nil {
		return err
	}
	defer c.Close()
	leaf := c.State().PeerCertificates[0]
	if leaf.IsCA || slices.ContainsFunc(leaf.UnknownExtKeyUsage, oidCMCRA.Equal) {
		return nil
	}
	return fmt.Errorf("%q has not: a pledge that knows the domain by its CA alone has to end here", leaf.Subject)
}

func runCACertsForEverybody(ctx context.Context, t *Target) error {
	a, err := t.Do(ctx, &wire.Options{Untrusted: true}, &wire.Request{Method: http.MethodGet, Path: pathCACerts})
	if err != nil {
		return err
	}
	switch a.Status {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return skipf("%v (see RFC8995-1.5-REG-4)", a)
	default:
		return fmt.Errorf("%v to a client that is nobody, want 200", a)
	}
}

// certsOnlyAnswer wants certificates under their media type. Those that do not
// come at all are for others.
func certsOnlyAnswer(a *wire.Answer) error {
	if _, err := certificates(a); err != nil {
		if a.Status != http.StatusOK {
			return skipf("%v", a)
		}
		return err
	}
	if a.MediaType() != "application/pkcs7-mime" {
		return fmt.Errorf("%v with Content-Type %q", a, a.Header.Get("Content-Type"))
	}
	return nil
}

func runEnrollType(ctx context.Context, t *Target) error {
	return asMember(func(ctx context.Context, t *Target, id *tls.Certificate) error {
		for path, as := range map[string]*tls.Certificate{pathEnroll: t.Pledge, pathReenroll: id} {
			key, err := newKey()
			if err != nil {
				return err
			}
			a, err := t.certify(ctx, as, path, key, nil)
			if err != nil {
				return err
			}
			if err := certsOnlyAnswer(a); err != nil {
				return err
			}
		}
		return nil
	})(ctx, t)
}

// renewedAs wants a refusal of a renewal that is changed so, once one that is not
// has been granted.
func renewedAs(change func(*x509.CertificateRequest, *x509.Certificate)) run {
	return asMember(func(ctx context.Context, t *Target, id *tls.Certificate) error {
		for _, f := range []func(*x509.CertificateRequest, *x509.Certificate){nil, change} {
			key, err := newKey()
			if err != nil {
				return err
			}
			r, err := certification(id, pathReenroll, key, f)
			if err != nil {
				return err
			}
			a, err := sendCSR(ctx, &t.Site, id, &r)
			if err != nil {
				return err
			}
			if f != nil {
				return bad(a)
			}
			renewed, err := member(a, key)
			if err != nil {
				return skipf("%v (see RFC8995-5.9.5-REG-2)", err)
			}
			id = renewed
		}
		return nil
	})
}

func runCSRAttrsForm(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathCSRAttrs})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusNotFound || a.Status == http.StatusNoContent:
		return nil
	case a.Status != http.StatusOK:
		return skipf("%v (see RFC8995-5.9.2-REG-1)", a)
	}
	der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(a.Body), nil)))
	if err != nil {
		return skipf("%v, and its body: %v (see RFC8995-5.9.2-REG-1)", a, err)
	}
	if err := readCSRAttrs(der); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

// readCSRAttrs reads CsrAttrs (RFC 8951, Section 4).
func readCSRAttrs(der []byte) error {
	in, all := cryptobyte.String(der), cryptobyte.String(nil)
	if !in.ReadASN1(&all, cryptobyte_asn1.SEQUENCE) || !in.Empty() {
		return errors.New("it is not one SEQUENCE")
	}
	for !all.Empty() {
		var one cryptobyte.String
		if all.SkipASN1(cryptobyte_asn1.OBJECT_IDENTIFIER) {
			continue
		}
		if !all.ReadASN1(&one, cryptobyte_asn1.SEQUENCE) || !one.SkipASN1(cryptobyte_asn1.OBJECT_IDENTIFIER) ||
			!one.SkipASN1(cryptobyte_asn1.SET) || !one.Empty() {
			return errors.New("there is something in it that is neither an OID nor an attribute")
		}
	}
	return nil
}

// lines wants a CSR whose base64 is written so to be certified, with and without
// the header that RFC 8951 has abolished.
func lines(id, text string, write func(string) string) check {
	return check{ID: id, Level: must, Text: text, Requirements: rows("BRSKI-EST-8951-3-01"), Run: func(ctx context.Context, t *Target) error {
		if _, a, _, err := t.joined(ctx); err != nil {
			return err
		} else if a.Status != http.StatusOK {
			return skipf("%v (see RFC8995-5.9-REG-3)", a)
		}
		for _, header := range [][2]string{{}, {"Content-Transfer-Encoding", "base64"}} {
			key, err := newKey()
			if err != nil {
				return err
			}
			r, err := certification(t.Pledge, pathEnroll, key, nil)
			if err != nil {
				return err
			}
			r.Body = []byte(write(string(r.Body)))
			if header[0] != "" {
				r.Header = append(r.Header, header)
			}
			a, err := sendCSR(ctx, &t.Site, t.Pledge, &r)
			if err != nil {
				return err
			}
			if _, err := member(a, key); err != nil {
				return err
			}
		}
		return nil
	}}
}
