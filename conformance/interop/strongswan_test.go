package interop_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// strongSwan 5.9.8, as Debian ships it: TLS 1.2, one line of base64 in and
// out, no User-Agent, Basic at once.
func TestStrongSwanPKIEnrollsAndRenews(t *testing.T) {
	testbed.Require(t, "openssl")
	pki := testbed.Require(t, "pki")
	bed := testbed.Start(t)
	x := &tools{t, t.TempDir()}
	ca := filepath.Join(bed.Dir, "ca.pem")
	user, password := bed.User(t)
	server := strings.TrimSuffix(bed.EST, "/.well-known/est")
	anchors := x.split(ca)

	x.run(nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "swan.key")
	csr := x.write("swan.p10", x.run(nil, "openssl", "req", "-new", "-key", "swan.key", "-subj", "/CN=swan", "-outform", "DER"))
	enroll := append([]string{"--est", "--url", server, "--in", csr, "--outform", "pem"}, anchors...)
	x.write("swan.pem", x.run(nil, pki, append(enroll, "--userpass", user+":"+password)...))
	x.matches(ca, "swan")

	// With --cert, pki posts to simplereenroll.
	x.run(nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "swan2.key")
	csr = x.write("swan2.p10", x.run(nil, "openssl", "req", "-new", "-key", "swan2.key", "-subj", "/CN=swan", "-outform", "DER"))
	renew := append([]string{"--est", "--url", server, "--in", csr, "--outform", "pem"}, anchors...)
	x.write("swan2.pem", x.run(nil, pki, append(renew, "--cert", x.path("swan.pem"), "--key", x.path("swan.key"))...))
	x.matches(ca, "swan2")
}

// split writes each certificate of a PEM file to a file of its own and names
// them as pki wants it.
func (x *tools) split(bundle string) []string {
	x.t.Helper()
	text := string(x.run(nil, "cat", bundle))
	var args []string
	const end = "-----END CERTIFICATE-----\n"
	for i, part := range strings.SplitAfter(text, end) {
		if strings.HasSuffix(part, end) {
			args = append(args, "--cacert", x.write("anchor"+string(rune('0'+i))+".pem", []byte(part)))
		}
	}
	return args
}
