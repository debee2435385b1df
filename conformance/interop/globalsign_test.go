package interop_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// globalsign is globalsign's estclient 1.0.6: TLS 1.3, chunked bodies of one line, Basic at once.
type globalsign struct {
	*tools
	s       *site
	program string
}

// buildGlobalSign builds the client from its module, pinned in the folder globalsign.
func buildGlobalSign(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "estclient")
	build := exec.Command("go", "build", "-o", program, "github.com/globalsign/est/cmd/estclient")
	build.Dir = "globalsign"
	out, err := build.CombinedOutput()
	switch {
	case err == nil:
		return program
	case os.Getenv("BRISKEST_REQUIRE") != "":
		t.Fatalf("build globalsign's estclient: %v\n%s", err, out)
	}
	t.Skipf("globalsign's estclient cannot be built here: %v\n%s", err, out)
	return ""
}

// est runs a command of the client, which must exit 0.
func (x *globalsign) est(command string, args ...string) []byte {
	x.t.Helper()
	return x.run(nil, x.program, append([]string{command, "-server", x.s.host, "-explicit", x.s.anchors()}, args...)...)
}

// refuses runs a command that must fail, and say so.
func (x *globalsign) refuses(text, command string, args ...string) {
	x.t.Helper()
	out, errs, err := x.try(nil, x.program, append([]string{command, "-server", x.s.host, "-explicit", x.s.anchors()}, args...)...)
	if err == nil || !bytes.Contains(errs, []byte(text)) {
		x.t.Errorf("estclient %s: error %v, want a refusal with %q\n%s%s", command, err, text, out, errs)
	}
}

// csr is the request in PEM, which the client turns into base64.
func (x *globalsign) csr(r *request) []string {
	return []string{"-csr", x.write(r.name+".csr", x.run(r.der, "openssl", "req", "-inform", "DER"))}
}

// enroll enrolls or renews and checks the certificate.
func (x *globalsign) enroll(command string, r *request, args ...string) {
	x.t.Helper()
	x.est(command, append(append(x.csr(r), args...), "-out", r.name+".pem")...)
	x.s.issued(x.t.(*testing.T), x.certificates(x.read(r.name+".pem")), r.csr)
}

func (x *globalsign) basic() []string { return []string{"-user", x.s.user, "-pass", x.s.password} }

func driveGlobalSign(c *client) {
	testbed.Require(c.t, "openssl")
	program := buildGlobalSign(c.t)
	gs := func(name string, f func(t *testing.T, x *globalsign)) {
		c.run(name, func(t *testing.T) { f(t, &globalsign{newTools(t), c.site, program}) })
	}
	gs("cacerts", func(t *testing.T, x *globalsign) {
		if certs := x.certificates(x.est("cacerts")); len(certs) != 2 {
			t.Errorf("cacerts gave %d certificates, want the issuing CA and the root", len(certs))
		}
	})
	gs("cacerts, a label", func(t *testing.T, x *globalsign) { x.est("cacerts", "-aps", "ca:1") })
	gs("cacerts, the root alone", func(t *testing.T, x *globalsign) {
		x.est("cacerts", "-rootout", "-out", "root.pem")
		if certs := x.certificates(x.read("root.pem")); len(certs) != 1 || !bytes.Equal(certs[0].RawIssuer, certs[0].RawSubject) {
			t.Errorf("-rootout gave %d certificates, want the root", len(certs))
		}
	})
	gs("csrattrs", func(t *testing.T, x *globalsign) { x.est("csrattrs") })
	gs("enroll, Basic", func(t *testing.T, x *globalsign) {
		x.enroll("enroll", x.request("gs", "globalsign basic"), x.basic()...)
	})
	gs("enroll, a label", func(t *testing.T, x *globalsign) {
		x.enroll("enroll", x.request("gs", "globalsign label"), append(x.basic(), "-aps", "ca:1")...)
	})
	gs("enroll, an RA's certificate", func(t *testing.T, x *globalsign) {
		x.enroll("enroll", x.request("gs", "globalsign ra"), "-certs", x.s.file("ra.pem"), "-key", x.s.file("ra.key"))
	})
	gs("enroll, an RSA key", func(t *testing.T, x *globalsign) {
		x.enroll("enroll", x.request("gs", "globalsign rsa", "rsa:2048"), x.basic()...)
	})
	gs("enroll, after an operator's approval", func(t *testing.T, x *globalsign) {
		r := x.request("gs", "globalsign-waits")
		args := append(x.basic(), "-aps", "approve")
		x.refuses("Accepted", "enroll", append(x.csr(r), args...)...)
		x.s.approve(t, "globalsign-waits")
		x.enroll("enroll", r, args...)
	})
	gs("reenroll, another key", func(t *testing.T, x *globalsign) {
		x.enroll("enroll", x.request("old", "globalsign-renews"), x.basic()...)
		x.enroll("reenroll", x.request("new", "globalsign-renews"), "-certs", "old.pem", "-key", "old.key")
		if bytes.Equal(x.read("old.pem"), x.read("new.pem")) {
			t.Error("reenroll gave the old certificate again")
		}
	})
	gs("reenroll, the client's own request", func(t *testing.T, x *globalsign) {
		r := x.request("old", "globalsign-own")
		x.enroll("enroll", r, x.basic()...)
		x.est("reenroll", "-certs", "old.pem", "-key", "old.key", "-out", "new.pem")
		x.s.issued(t, x.certificates(x.read("new.pem")), r.csr)
	})
	for way, args := range map[string]func(x *globalsign) []string{
		"Basic": func(x *globalsign) []string { return x.basic() },
		"an RA's certificate": func(x *globalsign) []string {
			return []string{"-certs", x.s.file("ra.pem"), "-key", x.s.file("ra.key")}
		},
	} {
		gs("serverkeygen, "+way, func(t *testing.T, x *globalsign) {
			r := x.request("gs", "globalsign keygen "+way)
			x.est("serverkeygen", append(append(x.csr(r), args(x)...), "-out", "made.pem", "-keyout", "made.key")...)
			public := x.run(x.read("made.key"), "openssl", "pkey", "-pubout", "-outform", "DER")
			x.s.generated(t, public, x.certificates(x.read("made.pem")), r.csr)
		})
	}
	gs("refused, a wrong password", func(t *testing.T, x *globalsign) {
		x.refuses("Unauthorized", "enroll", append(x.csr(x.request("gs", "globalsign wrong")), "-user", x.s.user, "-pass", "wrong")...)
	})
}
