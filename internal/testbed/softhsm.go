package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
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
	util := Require(t, "softhsm2-util")
	dir := t.TempDir()
	s := &SoftHSM{
		Module: "/usr/lib/softhsm/libsofthsm2.so", Token: "briskest test",
		PIN: filepath.Join(dir, "pin"), Tokens: filepath.Join(dir, "tokens"),
	}
	RequireFile(t, s.Module)
	conf := filepath.Join(dir, "softhsm2.conf")
	for name, text := range map[string]string{
		s.PIN: "471147\n",
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
	cmd := exec.Command(util, "--init-token", "--free", "--label", s.Token, "--pin", "471147", "--so-pin", "11471147")
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
