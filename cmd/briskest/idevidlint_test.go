package main

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/testpki"
)

// images is a factory's output.
type images struct {
	*vendor
	root, ca, vouchers *testpki.Identity
}

// image writes what one device is shipped with.
func (m *images) image(name string, id *testpki.Identity) string {
	m.t.Helper()
	m.file(name+"/idevid.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw})))
	key, err := x509.MarshalPKCS8PrivateKey(id.Key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.file(name+"/idevid.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	m.file(name+"/anchor.pem", string(m.vouchers.PEM()))
	return m.dir.path(name)
}

func (m *images) lint(names ...string) (out string, code int) {
	m.t.Helper()
	args := []string{"masa", "idevid", "lint", "--idevid-anchors", m.file("root.pem", string(m.root.PEM())), "-o", "json"}
	for _, name := range names {
		args = append(args, m.dir.path(name))
	}
	out, errs, code := m.run(args...)
	return out + errs, code
}

// BRSKI-8995-9.1.3-01: a factory image without an anchor for vouchers, with an
// IDevID that another one has too, or that lacks its serial number or its MASA's
// URL, is found before it is shipped.
func TestAFactoryImageThatCannotOnboardIsFound(t *testing.T) {
	const url = "https://masa.example"
	m := &images{vendor: &vendor{t, folder(t.TempDir())}, root: testpki.NewRoot(t, "root"), vouchers: testpki.NewRoot(t, "vouchers")}
	m.ca = m.root
	good := m.ca.IDevID(t, "W-1", url)
	m.image("good", good)
	m.image("good2", m.ca.IDevID(t, "W-2", url))
	if out, code := m.lint("good", "good2"); code != cli.ExitDone || !strings.Contains(out, "2 images, nothing wrong") {
		t.Fatalf("good images: exit %d %s", code, out)
	}
	like := func(change func(c *x509.Certificate)) *testpki.Identity {
		template := &x509.Certificate{
			Subject: pkix.Name{SerialNumber: "W-9"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: extensionsOf(good, "1.3.6.1.5.5.7.1.32"),
		}
		change(template)
		return m.ca.Issue(t, template, testpki.NewKey(t))
	}
	remove := func(name string) func(dir string) {
		return func(dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		id    *testpki.Identity
		spoil func(dir string)
		want  string
	}{
		"no anchor":         {like(func(*x509.Certificate) {}), remove("anchor.pem"), "no anchor for vouchers"},
		"empty anchor":      {like(func(*x509.Certificate) {}), func(dir string) { m.file(filepath.Base(dir)+"/anchor.pem", "") }, "no anchor for vouchers"},
		"old anchor":        {like(func(*x509.Certificate) {}), func(dir string) { m.file(filepath.Base(dir)+"/anchor.pem", string(m.expired().PEM())) }, "has expired"},
		"no IDevID":         {like(func(*x509.Certificate) {}), remove("idevid.pem"), "no IDevID"},
		"no serial number":  {like(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "W-9"} }), nil, "serialNumber"},
		"no MASA URL":       {like(func(c *x509.Certificate) { c.ExtraExtensions = nil }), nil, "MASA"},
		"the same serial":   {m.ca.IDevID(t, "W-1", url), nil, `serial number \"W-1\" is that of`},
		"the same IDevID":   {good, nil, "is that of"},
		"the same key":      {m.reissued("W-3", url, good.Key), nil, "the key, SHA-256"},
		"another key":       {&testpki.Identity{Certificate: m.ca.IDevID(t, "W-4", url).Certificate, Key: testpki.NewKey(t)}, nil, "is not that of the certificate"},
		"an open key":       {like(func(*x509.Certificate) {}), func(dir string) { m.open(dir) }, "every user of this machine"},
		"a CA":              {m.ca.NewIntermediate(t, "CA"), nil, "is a CA's"},
		"for servers only":  {like(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), nil, "leaves clientAuth out"},
		"for agreement":     {like(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), nil, "lacks digitalSignature"},
		"expired":           {like(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, "has expired"},
		"of another vendor": {testpki.NewRoot(t, "other").IDevID(t, "W-5", url), nil, "does not verify"},
	} {
		dir := m.image("bad", c.id)
		if c.spoil != nil {
			c.spoil(dir)
		}
		if out, code := m.lint("good", "bad"); code != cli.ExitRefused || !strings.Contains(out, c.want) || strings.Contains(out, m.dir.path("good")+`"`) {
			t.Errorf("%s: exit %d %s, want %q of that image alone", name, code, out, c.want)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func extensionsOf(id *testpki.Identity, oid string) (out []pkix.Extension) {
	for _, e := range id.Certificate.Extensions {
		if e.Id.String() == oid {
			out = append(out, e)
		}
	}
	return out
}

// reissued is an IDevID for a key that another one has.
func (m *images) reissued(serial, url string, key crypto.Signer) *testpki.Identity {
	m.t.Helper()
	return m.ca.Issue(m.t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: serial}, ExtraExtensions: extensionsOf(m.ca.IDevID(m.t, serial, url), "1.3.6.1.5.5.7.1.32"),
	}, key)
}

// expired is a CA that has ended.
func (m *images) expired() *testpki.Identity {
	m.t.Helper()
	return m.root.Issue(m.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "old"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(-time.Minute),
	}, testpki.NewKey(m.t))
}

func (m *images) open(dir string) {
	m.t.Helper()
	if err := os.Chmod(filepath.Join(dir, "idevid.key"), 0o644); err != nil { //nolint:gosec // the fault that is tested
		m.t.Fatal(err)
	}
}
