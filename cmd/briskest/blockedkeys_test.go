package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
)

// EST-5274-9-02: a key on a list of known ones is refused from the next reload on, with
// a reason, and the list is among what the trail says was loaded.
func TestBlockedKeysAreRefusedFromTheNextReloadOn(t *testing.T) {
	bed := testbed.Once(t)
	registrar := bed.Registrar(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := func(name string, key *ecdsa.PrivateKey) []byte {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	user, password := bed.User(t)
	client := &est.Client{URL: bed.EST, HTTP: bed.Client(t, nil), User: user, Password: est.Secret(password)}
	if _, err := client.SimpleEnroll(t.Context(), request("before", key)); err != nil {
		t.Fatalf("before the reload: %v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	list := fmt.Sprintf("# published\n%x\n", sha256.Sum256(spki))
	if err := pemfile.Write(filepath.Join(bed.Dir, "blocked.txt"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(bed.Dir, "registrar.yaml")
	text := append(bed.Read(t, "registrar.yaml"), "\nblocked_keys: [blocked.txt]\n"...)
	reload(t, registrar, file, text, "configuration loaded")
	if _, err := client.SimpleEnroll(t.Context(), request("after", key)); err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "blocked keys") {
		t.Errorf("the blocked key: %v, want 400 with the reason", err)
	}
	other, err := newRequest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.SimpleEnroll(t.Context(), other); err != nil {
		t.Errorf("another key: %v", err)
	}
	reload(t, registrar, filepath.Join(bed.Dir, "blocked.txt"), []byte("no key\n"), "the old one stays")
	if !strings.Contains(registrar.Output(), "blocked_keys") || !strings.Contains(registrar.Output(), "line 1") {
		t.Errorf("a list that is none: %s", registrar.Output())
	}
	registrar.Stop()
}
