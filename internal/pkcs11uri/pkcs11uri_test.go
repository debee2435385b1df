package pkcs11uri_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/pkcs11uri"
)

func slot(n uint) *uint { return &n }

// RFC 7512, Section 2.3.
func TestAURIIsReadAsItIsWritten(t *testing.T) {
	for uri, want := range map[string]pkcs11uri.URI{
		"pkcs11:": {},
		"pkcs11:token=My%20token;object=ca?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin": {
			Token: "My token", Object: "ca", ModulePath: "/usr/lib/p11.so", PINSource: "/etc/pin",
		},
		"pkcs11:id=%00%ff;serial=DE12;model=m;manufacturer=a%3Bb;slot-id=17;type=private": {
			ID: "\x00\xff", Serial: "DE12", Model: "m", Manufacturer: "a;b", Slot: slot(17),
		},
		"pkcs11:object=k?x-init-reserved=configdir%3D%27sql:/n%27": {Object: "k", InitReserved: "configdir='sql:/n'"},
		"pkcs11:object=k?x-deadline=5s&x-failures=7&x-pause=500ms&x-sessions=4": {
			Object: "k", Deadline: 5 * time.Second, Failures: 7, Pause: 500 * time.Millisecond, Sessions: 4,
		},
		"pkcs11:object=k?pin-source=/etc/pin&x-vendor=1":         {Object: "k", PINSource: "/etc/pin"},
		"pkcs11:object=k?pin-source=file:///etc/pin":             {Object: "k", PINSource: "/etc/pin"},
		"pkcs11:object=k?pin-source=file:pin%20of%20mine.txt":    {Object: "k", PINSource: "pin of mine.txt"},
		"pkcs11:object=k?pin-source=file://localhost/etc/pin":    {Object: "k", PINSource: "/etc/pin"},
		"pkcs11:object=%C3%BC?module-path=%2Fusr%2Flib%2Fp11.so": {Object: "ü", ModulePath: "/usr/lib/p11.so"},
	} {
		got, err := pkcs11uri.Parse(uri)
		if err != nil {
			t.Errorf("Parse(%q): %v", uri, err)
			continue
		}
		again, err := pkcs11uri.Parse(got.String())
		if err != nil || again.String() != got.String() {
			t.Errorf("Parse(%q) of its own writing %q = %v, %v", uri, got, again, err)
		}
		if got.String() != want.String() {
			t.Errorf("Parse(%q) = %s, want %s", uri, got, want.String())
		}
	}
}

func TestURIsThatDoNotNameAKeySurelyAreRefused(t *testing.T) {
	for uri, want := range map[string]string{
		"file:k":                                "want pkcs11:",
		"pkcs11:token":                          "without =",
		"pkcs11:token=a;token=b":                `"token" is there twice`,
		"pkcs11:object=":                        "is empty",
		"pkcs11:object=%4":                      "hexadecimal",
		"pkcs11:object=%zz":                     "hexadecimal",
		"pkcs11:object=a b":                     "white space",
		"pkcs11:type=public":                    "no private key",
		"pkcs11:slot-id=x":                      "no number",
		"pkcs11:x-vendor=1":                     "not supported",
		"pkcs11:library-version=3":              "not supported",
		"pkcs11:object=a;pin-value=4711":        "behind the ?",
		"pkcs11:object=a?pin-value=4711":        "pin-source=file:PATH",
		"pkcs11:object=a?module-name=softhsm":   "module-path",
		"pkcs11:object=a?module-path=p11.so":    "absolute",
		"pkcs11:object=a?pin-source=|/bin/4711": "no file",
		"pkcs11:object=a?pin-source=https://a/": "no file",
		"pkcs11:object=a?4711":                  "without =",
		"pkcs11:" + strings.Repeat("a", 5000):   "at most",
	} {
		_, err := pkcs11uri.Parse(uri)
		if !errors.Is(err, pkcs11uri.ErrURI) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want ErrURI with %q", uri, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "4711") {
			t.Errorf("Parse(%q) gives the PIN away: %v", uri, err)
		}
	}
}

func TestThePINIsTheFileWithoutItsFinalNewline(t *testing.T) {
	for text, want := range map[string]string{
		"1234": "1234", "1234\n": "1234", "1234\r\n": "1234", "1234\n\n": "1234\n", " 12 34 \n": " 12 34 ",
		"": "", "\n": "", strings.Repeat("9", 1025): "",
	} {
		path := filepath.Join(t.TempDir(), "pin")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u := pkcs11uri.URI{PINSource: path}
		got, err := u.PIN()
		if got != want || (err == nil) != (want != "") {
			t.Errorf("PIN of a file with %.10q = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestAPINFileThatAnybodyCanWriteIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := pkcs11uri.URI{PINSource: path}
	for mode, want := range map[os.FileMode]struct{ ok, open bool }{0o600: {true, false}, 0o644: {true, true}, 0o602: {false, false}} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := u.PIN(); (err == nil) != want.ok || (err != nil && strings.Contains(err.Error(), "1234")) {
			t.Errorf("PIN of a file of mode %v: %v, want read: %v", mode, err, want.ok)
		}
		if got := u.PINIsOpen(); got != want.open {
			t.Errorf("PINIsOpen at mode %v = %v", mode, got)
		}
	}
}

// What is read is written again as what reads the same.
func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=My%20token;object=ca?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin")
	f.Add("pkcs11:id=%00%ff;slot-id=4294967295;type=private?x-v=%41")
	f.Add("pkcs11:object=a?pin-source=file:////x")
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := pkcs11uri.Parse(uri)
		if err != nil {
			return
		}
		again, err := pkcs11uri.Parse(u.String())
		if err != nil {
			if len(u.String()) > 4096 {
				return // encoding made it longer
			}
			t.Fatalf("%q is read, and its own writing %q is not: %v", uri, u, err)
		}
		if again.String() != u.String() {
			t.Fatalf("%q became %q and then %q", uri, u, again)
		}
	})
}
