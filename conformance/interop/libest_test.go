package interop_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// libest is Cisco's estclient, the example of libest 3.2.0p: TLS 1.2 at most, Connection: close, credentials after the
// challenge, its leaf alone. Its exit status is always 0; what it wrote tells.
type libest struct {
	*tools
	s       *site
	program string
}

// est runs the client, which writes to the case's folder.
func (x *libest) est(args ...string) (output []byte) {
	x.t.Helper()
	host, port, err := net.SplitHostPort(x.s.host)
	if err != nil {
		x.t.Fatal(err)
	}
	args = append([]string{
		"EST_OPENSSL_CACERT=" + x.s.anchors(), x.program, "-s", host, "-p", port, "-o", x.dir, "--pem-output",
	}, args...)
	out, errs, err := x.try(nil, "env", args...)
	if err != nil {
		x.t.Fatalf("estclient %v: %v\n%s%s", args, err, out, errs)
	}
	return append(out, errs...)
}

// wrote is a file that the client wrote, or the end of the case with what the client printed.
func (x *libest) wrote(name string, printed []byte) []byte {
	x.t.Helper()
	data, err := os.ReadFile(filepath.Join(x.dir, name))
	if err != nil || len(data) == 0 {
		x.t.Fatalf("estclient wrote no %s: %v\n%s", name, err, printed)
	}
	return data
}

// enroll enrolls NAME's key with -x, or renews with -r, and checks the certificate.
func (x *libest) enroll(r *request, args ...string) {
	x.t.Helper()
	if err := os.RemoveAll(x.path("cert-0-0.pem")); err != nil {
		x.t.Fatal(err)
	}
	certs := x.certificates(x.wrote("cert-0-0.pem", x.est(args...)))
	x.s.issued(x.t.(*testing.T), certs, r.csr)
	x.save(r.name, certs)
}

func (x *libest) basic() []string { return []string{"-u", x.s.user, "-h", x.s.password} }

// fresh is how a new key NAME enrolls.
func (x *libest) fresh(r *request, args ...string) []string {
	return append([]string{"-e", "-x", r.name + ".key", "--common-name", r.csr.Subject.CommonName}, args...)
}

// driveLibest drives the client that BRISKEST_LIBEST names: no Debian package has it.
func driveLibest(c *client) {
	program := os.Getenv("BRISKEST_LIBEST")
	if program == "" {
		c.t.Skip("BRISKEST_LIBEST does not name libest's estclient: nothing is tested with it")
	}
	testbed.Require(c.t, "openssl")
	le := func(name string, f func(t *testing.T, x *libest)) {
		c.run(name, func(t *testing.T) { f(t, &libest{newTools(t), c.site, program}) })
	}
	// est-clients 2.1 and 2.8: in lines, with the root.
	le("cacerts", func(t *testing.T, x *libest) {
		if certs := x.certificates(x.wrote("cacert-0-0.pem", x.est("-g"))); len(certs) != 2 {
			t.Errorf("cacerts gave %d certificates, want the issuing CA and the root", len(certs))
		}
	})
	le("csrattrs", func(t *testing.T, x *libest) { x.wrote("csr-0-0.base64", x.est("-a")) })
	// est-clients 2.3: the name of the challenge's header in its own spelling, or this fails.
	le("enroll, Basic after the challenge", func(t *testing.T, x *libest) {
		r := x.request("key", "libest basic")
		x.enroll(r, x.fresh(r, x.basic()...)...)
	})
	// est-clients 2.4: its uri leaves the label out.
	le("enroll, Digest with MD5", func(t *testing.T, x *libest) {
		r := x.request("key", "libest digest")
		x.enroll(r, x.fresh(r, append(x.basic(), "--path-seg", "md5")...)...)
	})
	le("enroll, Bearer", func(t *testing.T, x *libest) {
		r := x.request("key", "libest-bearer")
		x.enroll(r, x.fresh(r, "--auth-token", x.s.tokens.issue(t, "libest-bearer"), "--path-seg", "bearer")...)
	})
	le("enroll, a label", func(t *testing.T, x *libest) {
		r := x.request("key", "libest label")
		x.enroll(r, x.fresh(r, append(x.basic(), "--path-seg", "plain")...)...)
	})
	le("enroll, a request in a file", func(t *testing.T, x *libest) {
		r := x.request("key", "libest file")
		x.write("key.csr", x.run(r.der, "openssl", "req", "-inform", "DER"))
		x.enroll(r, append([]string{"-e", "-y", "key.csr"}, x.basic()...)...)
	})
	le("enroll, an RA's certificate", func(t *testing.T, x *libest) {
		r := x.request("key", "libest ra")
		x.enroll(r, x.fresh(r, "-c", x.s.file("ra.pem"), "-k", x.s.file("ra.key"))...)
	})
	le("enroll, csrattrs first", func(t *testing.T, x *libest) {
		r := x.request("key", "libest attributes")
		x.enroll(r, x.fresh(r, append(x.basic(), "-a")...)...)
	})
	// est-clients 2.12.
	le("enroll, linked with tls-unique", func(t *testing.T, x *libest) {
		r := x.request("key", "libest linked")
		x.enroll(r, x.fresh(r, append(x.basic(), "-z")...)...)
	})
	le("enroll, linked with tls-unique where a label demands it", func(t *testing.T, x *libest) {
		r := x.request("key", "libest demanded")
		x.enroll(r, x.fresh(r, append(x.basic(), "-z", "--path-seg", "linked")...)...)
	})
	le("reenroll", func(t *testing.T, x *libest) {
		r := x.request("key", "libest renews")
		x.enroll(r, x.fresh(r, x.basic()...)...)
		old := x.read("key.pem")
		x.enroll(r, "-r", "-c", "key.pem", "-k", "key.key")
		if bytes.Equal(old, x.read("key.pem")) {
			t.Error("reenroll gave the old certificate again")
		}
	})
	// est-clients 2.14: the key first, then its certificate.
	le("serverkeygen", func(t *testing.T, x *libest) {
		r := x.request("key", "libest keygen")
		printed := x.est(append([]string{"-q", "-x", "key.key", "--common-name", "libest keygen"}, x.basic()...)...)
		made := x.run(x.wrote("key-0-0.key", printed), "openssl", "base64", "-d", "-A")
		public := x.run(made, "openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER")
		x.s.generated(t, public, x.certificates(x.wrote("cert-0-0.pem", printed)), r.csr)
	})
	le("refused, a wrong password", func(t *testing.T, x *libest) {
		r := x.request("key", "libest wrong")
		printed := x.est(x.fresh(r, "-u", x.s.user, "-h", "wrong")...)
		if _, err := os.Stat(x.path("cert-0-0.pem")); err == nil {
			t.Errorf("a wrong password has a certificate\n%s", printed)
		}
	})
}
