package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// SoftHSM is a token of SoftHSM2, in a folder of the test.
type SoftHSM struct {
	Module string // the library's path
	Token  string // the token's label
	PIN    string // the file that holds the PIN and a newline
	Tokens string // the folder that holds the token
}

// NewSoftHSM makes a token, and points this process and those it starts to it.
// It skips without SoftHSM2.
func NewSoftHSM(t testing.TB) *SoftHSM {
	t.Helper()
	return NewSoftHSMWithPIN(t, "471147")
}

// NewSoftHSMWithPIN is NewSoftHSM with a PIN of the test's.
func NewSoftHSMWithPIN(t testing.TB, pin string) *SoftHSM {
	t.Helper()
	util := Require(t, "softhsm2-util")
	dir := t.TempDir()
	s := &SoftHSM{
		Module: "/usr/lib/softhsm/libsofthsm2.so", Token: "briskest test",
		PIN: filepath.Join(dir, "pin"), Tokens: filepath.Join(dir, "tokens"),
	}
	RequireFile(t, s.Module)
	conf := filepath.Join(dir, "softhsm2.conf")
	for name, text := range map[string]string{
		s.PIN: pin + "\n",
		conf:  "directories.tokendir = " + s.Tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.Tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	cmd := exec.Command(util, "--init-token", "--free", "--label", s.Token, "--pin", pin, "--so-pin", "11471147")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	return s
}

// URI returns a pkcs11: URI: path is what names the key, such as
// ";object=ca", or "" for a URI of the token.
func (s *SoftHSM) URI(path string) string {
	return "pkcs11:token=briskest%20test" + path + "?module-path=" + s.Module + "&pin-source=file:" + s.PIN
}

// PrivateKeys counts the private keys in the token with pkcs11-tool, which must
// say of each that it never comes out.
func (s *SoftHSM) PrivateKeys(t testing.TB) int {
	t.Helper()
	out, errs, code := Run(t, Require(t, "pkcs11-tool"), "--module", s.Module, "--login", "--pin", "471147", "--list-objects", "--type", "privkey")
	n := strings.Count(out, "Private Key Object")
	if code != 0 || n != strings.Count(out, "never extractable") {
		t.Errorf("pkcs11-tool: exit %d, or a key that can come out\n%s%s", code, out, errs)
	}
	return n
}

// NSS is a token of NSS's softokn, in a folder of the test.
type NSS struct {
	Module string // the library's path
	dir    string // with the database, and the PIN in the file pin
}

// NewNSS makes a token. It skips without softokn and certutil.
func NewNSS(t testing.TB) *NSS {
	t.Helper()
	certutil := Require(t, "certutil")
	found, _ := filepath.Glob("/usr/lib/*/libsoftokn3.so")
	if len(found) == 0 {
		missing(t, "libsoftokn3.so")
	}
	n := &NSS{Module: found[0], dir: t.TempDir()}
	if err := os.WriteFile(n.pin(), []byte("471147\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := Run(t, certutil, "-N", "-d", "sql:"+n.dir, "-f", n.pin()); code != 0 {
		t.Fatalf("certutil: exit %d\n%s%s", code, out, errs)
	}
	return n
}

func (n *NSS) pin() string { return filepath.Join(n.dir, "pin") }

// URI returns a pkcs11: URI, as SoftHSM's does.
func (n *NSS) URI(path string) string {
	return "pkcs11:token=NSS%20Certificate%20DB" + path + "?module-path=" + n.Module + "&pin-source=file:" + n.pin() +
		"&x-init-reserved=configdir%3D'sql:" + n.dir + "'"
}

// nssKey is certutil's line for a private key.
var nssKey = regexp.MustCompile(`(?m)^< *[0-9]+> `)

// PrivateKeys counts the private keys in the token.
func (n *NSS) PrivateKeys(t testing.TB) int {
	t.Helper()
	out, errs, code := Run(t, Require(t, "certutil"), "-K", "-d", "sql:"+n.dir, "-f", n.pin())
	if code != 0 {
		t.Errorf("certutil: exit %d\n%s%s", code, out, errs)
	}
	return len(nssKey.FindAllString(out, -1))
}
