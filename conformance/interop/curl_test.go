package interop_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// tools runs other people's programs in a scratch folder.
type tools struct {
	t   testing.TB
	dir string
}

func (x *tools) path(name string) string { return filepath.Join(x.dir, name) }

func (x *tools) write(name string, data []byte) string {
	x.t.Helper()
	if err := os.WriteFile(x.path(name), data, 0o600); err != nil {
		x.t.Fatal(err)
	}
	return x.path(name)
}

// run runs a program with stdin and returns its standard output; it must exit 0.
func (x *tools) run(stdin []byte, program string, args ...string) []byte {
	x.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = x.dir, bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		x.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errs.Bytes())
	}
	return out
}

// csr makes a P-256 key NAME.key and returns the request for CN=name, base64 in lines.
func (x *tools) csr(name string) []byte {
	x.t.Helper()
	x.run(nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
	der := x.run(nil, "openssl", "req", "-new", "-key", name+".key", "-subj", "/CN="+name, "-outform", "DER")
	return x.run(der, "openssl", "base64")
}

// certificate turns an enroll answer into NAME.pem.
func (x *tools) certificate(name string, answer []byte) {
	x.t.Helper()
	der := x.run(answer, "openssl", "base64", "-d")
	x.write(name+".pem", x.run(der, "openssl", "pkcs7", "-inform", "DER", "-print_certs"))
}

// matches checks that NAME.pem verifies below ca.pem and holds NAME.key's public key.
func (x *tools) matches(ca, name string) {
	x.t.Helper()
	x.run(nil, "openssl", "verify", "-CAfile", ca, name+".pem")
	got := x.run(nil, "openssl", "x509", "-in", name+".pem", "-noout", "-pubkey")
	want := x.run(nil, "openssl", "pkey", "-in", name+".key", "-pubout")
	if !bytes.Equal(got, want) {
		x.t.Errorf("%s.pem holds another key than %s.key", name, name)
	}
}

func TestCurlWithOpenSSLCompletesEachOperation(t *testing.T) {
	testbed.Require(t, "curl")
	testbed.Require(t, "openssl")
	bed := testbed.Start(t)
	x := &tools{t, t.TempDir()}
	ca := filepath.Join(bed.Dir, "ca.pem")
	user, password := bed.User(t)
	curl := func(stdin []byte, args ...string) []byte {
		t.Helper()
		return x.run(stdin, "curl", append([]string{"--silent", "--show-error", "--fail", "--cacert", ca}, args...)...)
	}

	cacerts := x.run(curl(nil, bed.EST+"/cacerts"), "openssl", "base64", "-d")
	x.run(cacerts, "openssl", "pkcs7", "-inform", "DER", "-print_certs")
	curl(nil, bed.EST+"/csrattrs")

	post := []string{"-H", "Content-Type: application/pkcs10", "--data-binary", "@-"}
	x.certificate("curl-basic", curl(x.csr("curl-basic"), append(post, "-u", user+":"+password, bed.EST+"/simpleenroll")...))
	x.matches(ca, "curl-basic")

	ra := []string{"--cert", filepath.Join(bed.Dir, "ra.pem"), "--key", filepath.Join(bed.Dir, "ra.key")}
	x.certificate("curl-ra", curl(x.csr("curl-ra"), append(append(post, ra...), bed.EST+"/simpleenroll")...))
	x.matches(ca, "curl-ra")

	// The same certificate renews itself, with a new key for the same name.
	own := []string{"--cert", x.path("curl-basic.pem"), "--key", x.path("curl-basic.key")}
	old := x.run(nil, "openssl", "x509", "-in", "curl-basic.pem", "-noout", "-serial")
	renewal := curl(x.rekey("curl-basic", "curl-new"), append(append(post, own...), bed.EST+"/simplereenroll")...)
	x.certificate("curl-new", renewal)
	x.matches(ca, "curl-new")
	if bytes.Equal(old, x.run(nil, "openssl", "x509", "-in", "curl-new.pem", "-noout", "-serial")) {
		t.Error("the renewal has the serial number of the certificate it renews")
	}
}

// rekey makes a new key NAME.key and a request for the names of OLD.
func (x *tools) rekey(old, name string) []byte {
	x.t.Helper()
	x.run(nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
	der := x.run(nil, "openssl", "req", "-new", "-key", name+".key", "-subj", "/CN="+old, "-outform", "DER")
	return x.run(der, "openssl", "base64")
}
