package keystore_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/keystore"
)

type publicKey interface{ Equal(crypto.PublicKey) bool }

func TestOpenReturnsTheKeyThatCreateMade(t *testing.T) {
	for _, alg := range []keystore.Algorithm{"", keystore.P256, keystore.P384, keystore.P521, keystore.RSA2048, keystore.Ed25519} {
		uri := "file:" + filepath.Join(t.TempDir(), "key.pem")
		made, err := keystore.Create(t.Context(), uri, alg)
		if err != nil {
			t.Fatalf("Create(%q): %v", alg, err)
		}
		opened, err := keystore.Open(t.Context(), uri)
		if err != nil {
			t.Fatalf("Open after Create(%q): %v", alg, err)
		}
		if !made.Public().(publicKey).Equal(opened.Public()) {
			t.Errorf("Open after Create(%q) gave another key", alg)
		}
	}
}

func TestTheEmptyAlgorithmIsP256(t *testing.T) {
	key, err := keystore.Create(t.Context(), "file:"+filepath.Join(t.TempDir(), "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("Create with no algorithm made a %T", key)
	}
}

func TestCreateNeverReplacesAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := keystore.Create(t.Context(), "file:"+path, keystore.P256)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a file: %v, want fs.ErrExist", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "precious" {
		t.Errorf("after Create the file holds %q, %v", data, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("after Create the folder holds %v", names)
	}
}

func TestOfManyAtOnceOneCreates(t *testing.T) {
	dir := t.TempDir()
	uri := "file:" + filepath.Join(dir, "key.pem")
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { _, errs[i] = keystore.Create(context.Background(), uri, keystore.P256) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("Create: %v", err)
		}
	}
	if made != 1 {
		t.Errorf("%d of %d calls made the key, want 1", made, len(errs))
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files in the folder, want 1", len(left))
	}
}

func TestKeyFilesAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on windows")
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := keystore.Create(t.Context(), "file:"+path, keystore.P256); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("Create made mode %v, %v, want 0600", st.Mode(), err)
	}
	for mode, wantErr := range map[os.FileMode]bool{0o644: true, 0o604: true, 0o602: true, 0o640: false, 0o400: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keystore.Open(t.Context(), "file:"+path)
		if errors.Is(err, keystore.ErrPermissions) != wantErr {
			t.Errorf("Open at mode %#o: %v, want ErrPermissions: %v", mode, err, wantErr)
		}
		if wantErr && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("Open at mode %#o says %q, want it to name chmod", mode, err)
		}
	}
}

func TestSchemesNotBuiltInAreRefusedByName(t *testing.T) {
	for uri, want := range map[string]string{
		"tpm:0x81000001":           "tpm: needs",
		"https://secret@host/key":  "this build has file:",
		"key.pem":                  "file:key.pem",
		"file:":                    "file:PATH",
		"file://elsewhere/key.pem": "another machine",
		"file:a\x00b":              "usable path",
	} {
		for name, call := range map[string]func() error{
			"Open":   func() error { _, err := keystore.Open(t.Context(), uri); return err },
			"Create": func() error { _, err := keystore.Create(t.Context(), uri, ""); return err },
		} {
			err := call()
			if !errors.Is(err, keystore.ErrScheme) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s(%q) = %v, want ErrScheme with %q", name, uri, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s(%q) gives the secret away: %v", name, uri, err)
			}
		}
	}
}

// RFC 8089, Section 2.
func TestFileURIsWithALocalAuthorityAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := keystore.Create(t.Context(), "file://"+path, keystore.P256); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"file:" + path, "file://" + path, "file://localhost" + path} {
		if _, err := keystore.Open(t.Context(), uri); err != nil {
			t.Errorf("Open(%q): %v", uri, err)
		}
	}
}

func TestAMissingFileIsErrNotExist(t *testing.T) {
	_, err := keystore.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v, want fs.ErrNotExist", err)
	}
}

func TestACancelledContextMakesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := keystore.Create(ctx, "file:"+path, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Create with a cancelled context: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("Create with a cancelled context made a file")
	}
}

func TestAnUnknownAlgorithmNamesTheKnownOnes(t *testing.T) {
	_, err := keystore.Create(t.Context(), "file:"+filepath.Join(t.TempDir(), "k"), "dsa")
	if err == nil || !strings.Contains(err.Error(), "p256") {
		t.Errorf("Create(dsa) = %v, want the list of algorithms", err)
	}
}

func TestFormsOfPrivateKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"PKCS#8 EC":              {block("PRIVATE KEY", pkcs8(ec)), true},
		"PKCS#8 RSA":             {block("PRIVATE KEY", pkcs8(rsaKey)), true},
		"PKCS#8 Ed25519":         {block("PRIVATE KEY", pkcs8(ed)), true},
		"SEC1":                   {block("EC PRIVATE KEY", sec1), true},
		"SEC1 with parameters":   {block("EC PARAMETERS", []byte{6, 1, 1}) + block("EC PRIVATE KEY", sec1), true},
		"PKCS#1":                 {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), true},
		"with a certificate":     {block("CERTIFICATE", []byte{1}) + block("PRIVATE KEY", pkcs8(ec)), true},
		"two keys":               {block("PRIVATE KEY", pkcs8(ec)) + block("PRIVATE KEY", pkcs8(ed)), false},
		"encrypted":              {block("ENCRYPTED PRIVATE KEY", sec1), false},
		"encrypted, old form":    {"-----BEGIN EC PRIVATE KEY-----\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n", false},
		"key agreement only":     {block("PRIVATE KEY", pkcs8(x)), false},
		"another kind":           {block("OPENSSH PRIVATE KEY", sec1), false},
		"DER":                    {string(pkcs8(ec)), false},
		"empty":                  {"", false},
		"too large":              {block("PRIVATE KEY", pkcs8(ec)) + strings.Repeat(" ", 70000), false},
		"damaged":                {block("PRIVATE KEY", pkcs8(ec)[:40]), false},
		"certificate and no key": {block("CERTIFICATE", []byte{1}), false},
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keystore.Open(t.Context(), "file:"+path)
		if (err == nil) != c.ok || (!c.ok && !errors.Is(err, keystore.ErrFormat)) {
			t.Errorf("Open(%s) = %v, want opened: %v or ErrFormat", name, err, c.ok)
		}
	}
	if _, err := keystore.Open(t.Context(), "file:"+t.TempDir()); !errors.Is(err, keystore.ErrFormat) {
		t.Errorf("Open of a folder: %v, want ErrFormat", err)
	}
}
