// Package globalsign drives globalsign's estclient 1.0.6 against a running
// registrar. It is a module of its own so that the product's does not carry it.
package globalsign_test

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// estclient is the built program and how to reach the registrar with it.
type estclient struct {
	t       *testing.T
	program string
	dir     string
	common  []string
}

func (c *estclient) run(program string, args ...string) []byte {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = c.dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errs.Bytes())
	}
	return out
}

func (c *estclient) est(command string, args ...string) []byte {
	c.t.Helper()
	return c.run(c.program, append(append([]string{command}, c.common...), args...)...)
}

func (c *estclient) key(name string) {
	c.t.Helper()
	c.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
}

func (c *estclient) csr(key, commonName string) string {
	c.t.Helper()
	c.run("openssl", "req", "-new", "-key", key+".key", "-subj", "/CN="+commonName, "-out", key+".csr")
	return key + ".csr"
}

func (c *estclient) verify(ca, cert string) {
	c.t.Helper()
	c.run("openssl", "verify", "-CAfile", ca, cert)
}

func TestEstclientCompletesEachOperation(t *testing.T) {
	testbed.Require(t, "openssl")
	bed := testbed.Start(t)
	base, err := url.Parse(bed.EST)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(bed.Dir, "ca.pem")
	c := &estclient{t: t, dir: t.TempDir(), common: []string{"-server", base.Host, "-explicit", ca}}
	c.program = filepath.Join(c.dir, "estclient")
	build := exec.Command("go", "build", "-o", c.program, "github.com/globalsign/est/cmd/estclient")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build estclient: %v\n%s", err, out)
	}
	user, password := bed.User(t)

	if out := c.est("cacerts"); !bytes.Contains(out, []byte("BEGIN CERTIFICATE")) {
		t.Errorf("cacerts printed %q, want certificates", out)
	}
	c.est("csrattrs")

	c.key("gs")
	c.est("enroll", "-csr", c.csr("gs", "globalsign"), "-user", user, "-pass", password, "-out", "gs.pem")
	c.verify(ca, "gs.pem")

	c.key("by-ra")
	c.est("enroll", "-csr", c.csr("by-ra", "globalsign-ra"), "-certs", filepath.Join(bed.Dir, "ra.pem"), "-key", filepath.Join(bed.Dir, "ra.key"), "-out", "by-ra.pem")
	c.verify(ca, "by-ra.pem")

	c.key("gs2")
	c.est("reenroll", "-csr", c.csr("gs2", "globalsign"), "-certs", "gs.pem", "-key", "gs.key", "-out", "gs2.pem")
	c.verify(ca, "gs2.pem")
	old, err := os.ReadFile(filepath.Join(c.dir, "gs.pem"))
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := os.ReadFile(filepath.Join(c.dir, "gs2.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(old, renewed) {
		t.Error("reenroll gave the old certificate again")
	}
}
