package manifest_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/internal/testpki"
)

const rows = `{"serial_number":"M-1"}` + "\n" + `{"serial_number":"M-2"}` + "\n"

func signed(t testing.TB, by *testpki.Identity, chain ...*x509.Certificate) string {
	t.Helper()
	m, err := manifest.Sign("acme", time.Unix(1_700_000_000, 0), []byte(rows), by.Key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return string(m)
}

func signer(t testing.TB, root *testpki.Identity) *testpki.Identity {
	t.Helper()
	return root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "line 4"}}, testpki.NewKey(t))
}

// M25.
func TestAManifestIsReadAsItWasSigned(t *testing.T) {
	root := testpki.NewRoot(t, "maker")
	by := signer(t, root)
	text := signed(t, by, by.Certificate)
	m, err := manifest.Open([]byte(text), root.Pool(), time.Now())
	if err != nil || string(m.Devices) != rows || m.Manufacturer != "acme" || m.CreatedAt != "2023-11-14T22:13:20Z" || !m.Signer.Equal(by.Certificate) {
		t.Errorf("Open = %+v, %v", m, err)
	}
	if !manifest.Is([]byte(text)[:64]) || manifest.Is([]byte(rows)) || manifest.Is([]byte("serial_number\n")) {
		t.Error("Is does not tell manifests from lists")
	}
}

// Attack: signed by nobody who may, or changed.
func TestAManifestOfNobodyWhoMayIsNotOpened(t *testing.T) {
	root, stranger := testpki.NewRoot(t, "maker"), testpki.NewRoot(t, "x")
	by, other := signer(t, root), signer(t, stranger)
	good := signed(t, by, by.Certificate)
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"version":"1","manufacturer":"acme","created_at":"x","devices":[{"serial_number":"M-3"}]}`))
	for name, text := range map[string]string{
		"a stranger": signed(t, other, other.Certificate), "no certificate": signed(t, by), "another key": signed(t, other, by.Certificate),
		"another payload": `{"payload":"` + payload + good[strings.Index(good, `","signatures"`):], "cut": good[:len(good)-10],
		"no signature": `{"payload":"` + payload + `","signatures":[]}`,
	} {
		if m, err := manifest.Open([]byte(text), root.Pool(), time.Now()); err == nil {
			t.Errorf("%s: opened as %+v", name, m)
		}
	}
	_, err := manifest.Open([]byte(good), nil, time.Now())
	if !errors.Is(err, manifest.ErrUntrusted) {
		t.Errorf("without anchors: %v, want ErrUntrusted", err)
	}
	if _, err := manifest.Open([]byte(good), root.Pool(), time.Now().AddDate(200, 0, 0)); !errors.Is(err, manifest.ErrUntrusted) {
		t.Errorf("after its signer's end: %v, want ErrUntrusted", err)
	}
}

func FuzzOpen(f *testing.F) {
	root := testpki.NewRoot(f, "maker")
	by := signer(f, root)
	f.Add([]byte(signed(f, by, by.Certificate)))
	f.Add([]byte(signed(f, by)))
	f.Add([]byte(`{"payload":"e30","signatures":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Open(data, root.Pool(), time.Now())
		if err == nil && (m.Signer == nil || len(m.Devices) == 0) {
			t.Errorf("opened without a signer or devices: %+v", m)
		}
	})
}
