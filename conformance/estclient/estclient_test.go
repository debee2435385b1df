package estclient_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/conformance/estclient"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

type mutation = conformancetest.Mutation[*estclient.Target]

// breaks makes a mutation of a fault. The checks in also are of other sections
// and see it too.
func breaks(check, what string, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *estclient.Target { return start(t, f) }}
}

func TestEveryCheckPassesAgainstTheClientOfTheLibrary(t *testing.T) {
	conformancetest.Passes(t, start(t), estclient.Checks())
}

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, estclient.Checks(), slices.Concat(
		enrollmentMutations(), authenticationMutations(), caCertsMutations(), bodyMutations(), redirectMutations(),
	))
}

// everything is the IDs of all checks: who enrolls nowhere fails all that want it.
func everything() []string {
	var ids []string
	for _, c := range estclient.Checks() {
		ids = append(ids, c.ID)
	}
	return ids
}

func enrollmentMutations() []mutation {
	ends := func(suffix string) func(*http.Response, []byte) bool {
		return func(r *http.Response, _ []byte) bool { return strings.HasSuffix(r.Request.URL.Path, suffix) }
	}
	return []mutation{
		breaks("RFC7030-3.1-C-1", "a client that never enrolls", enrolling(fails), everything()...),
		breaks("RFC7030-4.2-C-1", "a client without cacerts", func(c *client) { c.skip = true }),
		breaks("RFC7030-4.5-C-1", "a client without csrattrs", enrolling(blindly)),
		breaks("RFC7030-4.2.1-C-1", "a CSR labelled as a form", tampers(func(c *client) {
			c.request = func(r *http.Request) {
				if r.Method == http.MethodPost {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
			}
		})),
		breaks("RFC7030-4.2.1-C-2", "a CSR with a broken signature", tampers(spoilsSignature)),
		breaks("RFC7030-4.2.2-C-1", "a renewal under another name", enrolling(renamed)),
		breaks("RFC7030-3.3.2-C-1", "a renewal without a certificate", tampers(func(c *client) {
			c.http = func(_ *http.Client, config *tls.Config) { config.Certificates = nil }
		})),
		breaks("RFC7030-4.2.3-C-1", "no patience with numbers", impatient(true)),
		breaks("RFC7030-4.2.3-C-2", "no patience with dates", impatient(false)),
		breaks("RFC7030-4.2.3-C-3", "the first certificate is the one", func(c *client) {
			c.pick = func(p *unkind.Play) *x509.Certificate { return c.read(p.Environment["BRISKEST_CA"])[0] }
		}),
		breaks("RFC7030-4.2.3-C-4", "any certificate will do", forgiving("another key")),
		breaks("RFC7030-4.5.2-C-1", "csrattrs or nothing", mends(func(r *http.Response, _ []byte) {
			if r.StatusCode == http.StatusNotFound {
				r.StatusCode = http.StatusInternalServerError
			}
		})),
		breaks("RFC7030-4.5.2-C-2", "no empty csrattrs", chokes(func(r *http.Response, body []byte) bool {
			return ends("/csrattrs")(r, nil) && len(body) < 8
		})),
		breaks("RFC7030-4.5.2-C-3", "no unknown csrattrs", chokes(func(r *http.Response, body []byte) bool {
			return ends("/csrattrs")(r, nil) && len(body) > 8
		})),
	}
}

func authenticationMutations() []mutation {
	return []mutation{
		breaks("RFC7030-3.3-C-1", "any authority will do", takesStrangers(1),
			"RFC7030-3.3.1-C-3", "RFC7030-4.1.3-C-3", "RFC7030-3.2.1-C-3"),
		breaks("RFC7030-3.3.1-C-1", "time does not matter", verifying(func(cs *tls.ConnectionState, roots *x509.CertPool) error {
			err := properly(cs, roots)
			var invalid x509.CertificateInvalidError
			if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
				return named(cs)
			}
			return err
		})),
		breaks("RFC7030-3.3.1-C-2", "usage does not matter", lenient(x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}), "RFC7030-3.6.1-C-1"),
		breaks("RFC7030-3.3.1-C-3", "anybody is a CA", verifying(func(cs *tls.ConnectionState, roots *x509.CertPool) error {
			if len(cs.PeerCertificates) > 1 && !cs.PeerCertificates[1].IsCA {
				return nil
			}
			return properly(cs, roots)
		})),
		breaks("RFC7030-3.6.1-C-1", "names do not matter", verifying(func(cs *tls.ConnectionState, roots *x509.CertPool) error {
			return chain(cs, roots, x509.VerifyOptions{})
		})),
		breaks("RFC7030-3.6.1-C-2", "nothing but names matters", verifying(func(cs *tls.ConnectionState, roots *x509.CertPool) error {
			return errors.Join(chain(cs, roots, x509.VerifyOptions{}), cs.PeerCertificates[0].VerifyHostname("127.0.0.1"))
		})),
		breaks("RFC9325-3.1.1-C-1", "any TLS will do", tampers(func(c *client) {
			c.http = func(_ *http.Client, config *tls.Config) { config.MinVersion = tls.VersionTLS10 } //nolint:gosec // the fault
		})),
	}
}

func caCertsMutations() []mutation {
	return []mutation{
		breaks("RFC7030-3.1-C-2", "no certificate twice", chokes(func(_ *http.Response, body []byte) bool { return certificates(body) == 4 }), "RFC7030-4.2.3-C-3"),
		breaks("RFC7030-3.1-C-3", "garbage is nothing", forgiving("base64")),
		breaks("RFC7030-3.1-C-4", "half is enough", takesBrokenCACerts),
		breaks("RFC7030-4.1.3-C-1", "status 500 is none", forgiving("500")),
		breaks("RFC7030-4.1.3-C-2", "status 206 is good", forgiving("206")),
		breaks("RFC7030-4.1.3-C-3", "all that came is trusted", func(c *client) {
			c.trust = func(_ *x509.CertPool, set *est.CASet) *x509.CertPool {
				pool := set.Pool()
				for _, cert := range set.Untrusted {
					pool.AddCert(cert)
				}
				return pool
			}
		}),
		breaks("RFC7030-4.1.3-C-4", "no more than three", chokes(func(_ *http.Response, body []byte) bool { return certificates(body) == 5 })),
		breaks("RFC7030-4.1.3-C-5", "the old anchors stay", func(c *client) {
			c.trust = func(old *x509.CertPool, _ *est.CASet) *x509.CertPool { return old }
		}),
	}
}

func bodyMutations() []mutation {
	encoding := func(value string) func(*http.Response, []byte) bool {
		return func(r *http.Response, _ []byte) bool { return r.Header.Get("Content-Transfer-Encoding") == value }
	}
	text := func(part string) func(*http.Response, []byte) bool {
		return func(_ *http.Response, body []byte) bool { return bytes.Contains(body, []byte(part)) }
	}
	return []mutation{
		breaks("RFC8951-3-C-1", "not without Content-Transfer-Encoding", chokes(encoding(""))),
		breaks("RFC8951-3-C-2", "Content-Transfer-Encoding is heeded", chokes(encoding("binary"))),
		breaks("RFC8951-3.1-C-1", "no CR", chokes(text("\r"))),
		breaks("RFC8951-3.1-C-2", "not without lines", chokes(func(_ *http.Response, body []byte) bool { return !bytes.Contains(body, []byte("\n")) })),
		breaks("RFC8951-3.1-C-3", "no blanks", chokes(text(" \t"))),
		breaks("RFC8951-5.1-C-1", "the status does not matter", mends(func(r *http.Response, body []byte) {
			if r.StatusCode == http.StatusBadRequest && bytes.HasPrefix(body, []byte("MI")) {
				r.StatusCode = http.StatusOK
				r.Header.Set("Content-Type", unkind.CertsOnly)
			}
		})),
		breaks("RFC9110-5.1-C-1", "capitals matter", tampers(wantsCapitals)),
		breaks("RFC9112-7.1-C-1", "no chunks", chokes(func(r *http.Response, _ []byte) bool { return len(r.TransferEncoding) > 0 })),
		breaks("RFC9112-7.1-C-2", "no patience", tampers(countsPieces)),
		breaks("RFC9112-8-C-1", "half is enough", forgiving("unexpected EOF")),
	}
}

func redirectMutations() []mutation {
	return []mutation{
		breaks("RFC7030-3.2.1-C-1", "no redirects", mends(func(r *http.Response, _ []byte) {
			if r.StatusCode == http.StatusTemporaryRedirect {
				r.StatusCode = http.StatusInternalServerError
			}
		})),
		breaks("RFC7030-3.2.1-C-2", "CSRs go anywhere", tampers(func(c *client) {
			c.http = func(h *http.Client, _ *tls.Config) {
				h.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
			}
		})),
		breaks("RFC7030-3.2.1-C-3", "any authority will do after the first", takesStrangers(2), "RFC7030-4.1.3-C-3"),
		breaks("RFC7030-3.2.3-C-1", "no password", func(c *client) {
			c.change = func(ec *est.Client) { ec.User, ec.Password = "", "" }
		}),
		breaks("RFC7030-3.2.3-C-2", "no Digest", mends(func(r *http.Response, _ []byte) {
			if strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Digest") {
				r.Header.Set("WWW-Authenticate", "Other")
			}
		})),
		breaks("RFC7030-3.2.3-C-3", "a challenge is no end", tampers(goesOn)),
	}
}
