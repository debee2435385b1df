package interop_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// swan is strongSwan's pki 5.9.8, as Debian ships it: TLS 1.2, one line of base64 in and out, no User-Agent, Basic at
// once, no csrattrs and no serverkeygen.
type swan struct {
	*tools
	s       *site
	anchors []string
}

func (c *client) swan(t *testing.T, s *site) *swan {
	x := &swan{tools: newTools(t), s: s}
	for i, cert := range x.certificates(s.bed.Read(t, "ca.pem")) {
		x.anchors = append(x.anchors, "--cacert", x.write("anchor"+string(rune('0'+i))+".crt", cert.Raw))
	}
	return x
}

// pki runs `pki --est` or `pki --estca` against the site.
func (x *swan) pki(command, path string, args ...string) (stdout, stderr []byte, err error) {
	url := strings.TrimSuffix(x.s.bed.EST, "/.well-known/est") + path
	return x.try(nil, "pki", append(append([]string{command, "--url", url, "--outform", "pem"}, x.anchors...), args...)...)
}

// enroll enrolls the request and checks the certificate.
func (x *swan) enroll(r *request, args ...string) {
	x.t.Helper()
	out, errs, err := x.pki("--est", "", append([]string{"--in", x.path(r.name + ".p10")}, args...)...)
	if err != nil {
		x.t.Fatalf("pki --est: %v\n%s", err, errs)
	}
	certs := x.certificates(out)
	x.s.issued(x.t.(*testing.T), certs, r.csr)
	x.save(r.name, certs)
}

func (x *swan) basic() []string { return []string{"--userpass", x.s.user + ":" + x.s.password} }

func driveStrongSwan(c *client) {
	testbed.Require(c.t, "openssl")
	testbed.Require(c.t, "pki")
	small := newSmallSite(c.t, c.site.bed.Program)

	c.run("enroll, Basic", func(t *testing.T) {
		x := c.swan(t, c.site)
		x.enroll(x.request("swan", "swan basic"), x.basic()...)
	})
	c.run("reenroll, the certificate that is renewed", func(t *testing.T) {
		x := c.swan(t, c.site)
		x.enroll(x.request("old", "swan-renews"), x.basic()...)
		x.enroll(x.request("new", "swan-renews"), "--cert", x.path("old.pem"), "--key", x.path("old.key"))
		if bytes.Equal(x.read("old.pem"), x.read("new.pem")) {
			t.Error("the renewal is the certificate that it renews")
		}
	})
	// With --cert pki posts to simplereenroll, whosever the certificate is; a foreign one renews nothing.
	c.run("refused, reenroll with another's certificate", func(t *testing.T) {
		x := c.swan(t, c.site)
		x.enroll(x.request("old", "swan-one"), x.basic()...)
		x.request("new", "swan-two")
		_, errs, err := x.pki("--est", "", "--in", x.path("new.p10"), "--cert", x.path("old.pem"), "--key", x.path("old.key"))
		if err == nil || !bytes.Contains(errs, []byte("403")) {
			t.Errorf("pki --est: error %v, want a refusal with 403\n%s", err, errs)
		}
	})
	c.run("refused, a wrong password", func(t *testing.T) {
		x := c.swan(t, c.site)
		x.request("swan", "swan wrong")
		_, errs, err := x.pki("--est", "", "--in", x.path("swan.p10"), "--userpass", x.s.user+":wrong")
		if err == nil || !bytes.Contains(errs, []byte("401")) {
			t.Errorf("pki --est: error %v, want a refusal with 401\n%s", err, errs)
		}
	})
	// est-clients 2.5: 202 without a body and with Retry-After in seconds; pki asks again on a new connection.
	c.run("enroll, asks again until an operator has approved", func(t *testing.T) {
		x := c.swan(t, small)
		r := x.request("swan", "swan")
		if _, errs, err := x.pki("--est", "", append(x.basic(), "--in", x.path("swan.p10"), "--interval", "1", "--maxpolltime", "1")...); err == nil {
			t.Fatalf("pki --est has a certificate that nobody approved\n%s", errs)
		}
		small.approve(t, "swan")
		x.enroll(r, append(x.basic(), "--interval", "1", "--maxpolltime", "30")...)
	})
	c.run("cacerts, one CA certificate", func(t *testing.T) {
		x := c.swan(t, small)
		out, errs, err := x.pki("--estca", "")
		if err != nil || len(x.certificates(out)) != 1 {
			t.Errorf("pki --estca: %v, %d certificates\n%s", err, len(x.certificates(out)), errs)
		}
	})
	// docs/divergences.md, RFC 7030, Sections 4.1.3 and 4.2.3: 5.9.8 reads no base64 in lines, and libest none above
	// 1000 characters without. When this succeeds, the divergence is gone.
	c.run("diverges, cacerts above 900 characters", func(t *testing.T) {
		x := c.swan(t, c.site)
		if out, _, err := x.pki("--estca", ""); err == nil && len(x.certificates(out)) > 0 {
			t.Errorf("pki --estca reads %d certificates from lines: take it out of docs/divergences.md", len(x.certificates(out)))
		}
	})
	// 5.9.8 puts a label before /.well-known/est, where RFC 7030, Section 3.2.2, has none.
	c.run("diverges, a label in the URL", func(t *testing.T) {
		x := c.swan(t, c.site)
		x.request("swan", "swan label")
		_, errs, err := x.pki("--est", "/ca:1", append(x.basic(), "--in", x.path("swan.p10"))...)
		if err == nil || !bytes.Contains(errs, []byte("404")) {
			t.Errorf("pki --est: error %v, want a refusal with 404\n%s", err, errs)
		}
	})
}
