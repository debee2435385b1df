package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// "The CA behind it", 1: a CA, a registrar and a MASA whose keys are in a token:
// SoftHSM2, and as a second module NSS's softokn, which has no Ed25519.
func TestAQuickstartWithKeysInATokenHasNoneInItsFiles(t *testing.T) {
	program := testbed.BuildForTokens(t, "briskest")
	t.Run("SoftHSM2", func(t *testing.T) { quickstartInToken(t, program, testbed.NewSoftHSM(t)) })
	t.Run("NSS softokn", func(t *testing.T) { quickstartInToken(t, program, testbed.NewNSS(t)) })
	t.Run("none, where the search finds them all", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "q")
		if out, errs, code := testbed.Run(t, program, "quickstart", "--once", "--dir", dir); code != 0 {
			t.Fatalf("quickstart: exit %d\n%s%s", code, out, errs)
		}
		if got := filesWithKeys(t, dir); len(got) != 8+3 {
			t.Errorf("private keys are in %v, want 8 files beside the device's 2 and ra.key", got)
		}
	})
}

func quickstartInToken(t *testing.T, program string, token interface {
	URI(path string) string
	PrivateKeys(t testing.TB) int
}) {
	dir := filepath.Join(t.TempDir(), "q")
	quickstart := []string{"quickstart", "--once", "--dir", dir, "--keys", token.URI("")}
	// Twice, for what is there must be used again, and the trail with its key.
	for _, args := range [][]string{quickstart, quickstart, {"trail", "verify", "--config", filepath.Join(dir, "registrar.yaml")}} {
		if out, errs, code := testbed.Run(t, program, args...); code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "pledge", "ldevid.pem")); err != nil {
		t.Errorf("the device is not in: %v", err)
	}
	if n := token.PrivateKeys(t); n != 8 {
		t.Errorf("%d private keys are in the token, want 8", n)
	}
	want := []string{"pledge/idevid.key", "pledge/ldevid.key", "ra.key"}
	if got := filesWithKeys(t, dir); !slices.Equal(got, want) {
		t.Errorf("private keys are in %v, want %v only", got, want)
	}
}

func TestKeysInATokenAreRefusedWhereTheyCannotBe(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"pkcs11:token=x?module-path=/x.so&pin-source=file:/x", "pkcs11"},
		{"pkcs11:token=x;object=y", "leave out object="},
		{"pkcs11:token=x?pin-value=4711", "pin-source=file:PATH"},
		{"file:keys", "want pkcs11:"},
	} {
		dir := filepath.Join(t.TempDir(), "q")
		var out bytes.Buffer
		err := run(t.Context(), []string{"quickstart", "--once", "--dir", dir, "--keys", c.uri}, streams{In: strings.NewReader(""), Out: &out, Err: &out})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error()+out.String(), "4711") {
			t.Errorf("--keys %s: %v, want an error with %q", c.uri, err, c.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("--keys %s: something was made none the less", c.uri)
		}
	}
}

// filesWithKeys returns the files below dir that hold a private key somewhere,
// in PEM, DER or base64.
func filesWithKeys(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if holdsKey(data) {
			name, err := filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// base64Text is base64 of 32 bytes and more, on one line or several.
var base64Text = regexp.MustCompile(`[A-Za-z0-9+/_-]{20}[A-Za-z0-9+/_\r\n-]{23,}`)

func holdsKey(data []byte) bool {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) || holdsDER(data) {
		return true
	}
	for _, text := range base64Text.FindAll(data, -1) {
		line := strings.NewReplacer("\r", "", "\n", "").Replace(string(text))
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			der, _ := encoding.DecodeString(line) // as far as it goes
			if holdsDER(der) {
				return true
			}
		}
	}
	return false
}

// holdsDER reports whether a private key begins at some byte.
func holdsDER(data []byte) bool {
	for i := range data {
		der := element(data[i:])
		if der == nil {
			continue
		}
		_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
		_, sec1 := x509.ParseECPrivateKey(der)
		_, pkcs1 := x509.ParsePKCS1PrivateKey(der)
		if pkcs8 == nil || sec1 == nil || pkcs1 == nil {
			return true
		}
	}
	return false
}

// element returns the SEQUENCE that data begins with, if it begins as private
// keys do, with a version.
func element(data []byte) []byte {
	if len(data) < 8 || data[0] != 0x30 {
		return nil
	}
	head, size := 2, int(data[1])
	switch data[1] {
	case 0x81:
		head, size = 3, int(data[2])
	case 0x82:
		head, size = 4, int(data[2])<<8|int(data[3])
	}
	if head+size > len(data) || !bytes.HasPrefix(data[head:], []byte{2, 1}) {
		return nil
	}
	return data[:head+size]
}

func TestTheSearchForPrivateKeysFindsThem(t *testing.T) {
	block, _ := pem.Decode([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n"))
	for name, data := range map[string][]byte{
		"DER":       slices.Concat([]byte("SQLite 0000"), block.Bytes, []byte("more")),
		"base64":    []byte(`{"a":"` + base64.StdEncoding.EncodeToString(block.Bytes) + `"}`),
		"base64url": []byte(`{"a":"` + base64.RawURLEncoding.EncodeToString(block.Bytes) + `"}`),
		"PEM":       pem.EncodeToMemory(block),
	} {
		if !holdsKey(data) {
			t.Errorf("the search does not find a key in %s", name)
		}
	}
	if holdsKey([]byte("no key in here, just text that goes on for a while without one")) {
		t.Error("the search finds a key where there is none")
	}
}
