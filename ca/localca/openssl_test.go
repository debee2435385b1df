package localca_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testbed"
)

// openssl runs it in dir and returns what it prints.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(testbed.Require(t, "openssl"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func writePEM(t *testing.T, path, kind string, ders ...[]byte) {
	t.Helper()
	var out bytes.Buffer
	for _, der := range ders {
		if err := pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hierarchy is a root with an issuing CA that has every built-in profile for
// end entities, today: openssl has no clock to set for lists.
func hierarchy(t *testing.T) *localca.CA {
	t.Helper()
	rootKey, key := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P256())
	certificate, err := localca.NewRoot(t.Context(), rootKey, &localca.Authority{
		Subject: pkix.Name{CommonName: "Root", Organization: []string{"Exämple"}}, Lifetime: "never", PathLength: 1, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := localca.New(localca.Config{Certificate: certificate, Key: rootKey})
	if err != nil {
		t.Fatal(err)
	}
	below, err := localca.NewIntermediate(t.Context(), root, key.Public(), &localca.Authority{
		Subject: pkix.Name{CommonName: "Issuing CA"}, Lifetime: "never", Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := localca.New(localca.Config{
		Certificate: below, Chain: []*x509.Certificate{certificate}, Key: key, Profiles: profiles(t, endEntities()...),
	})
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func endEntities() []*profile.Document {
	return []*profile.Document{
		profile.Device(), profile.LDevID(), profile.Registrar(), profile.MASA(), profile.VoucherSigner(), profile.RAClient(), profile.IDevID("masa.example.com"),
		profile.OCSPResponder(),
	}
}

// sample has the issuer certify the n-th generated names of a profile.
func sample(t *testing.T, issuer *localca.CA, name string, n int) *x509.Certificate {
	t.Helper()
	subject, names, err := issuer.Profile(name).Sample(n)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issuer.Certify(t.Context(), &ca.Request{
		Profile: name, PublicKey: ecKey(t, elliptic.P256()).Public(), Subject: subject, Names: names, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestOpenSSLVerifiesCertificatesAndLists(t *testing.T) {
	testbed.Require(t, "openssl")
	issuer := hierarchy(t)
	dir := t.TempDir()
	chain, err := issuer.Chain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", chain[0].Raw, chain[1].Raw)
	writePEM(t, filepath.Join(dir, "issuing.pem"), "CERTIFICATE", chain[0].Raw)
	if out, err := openssl(t, dir, "verify", "-x509_strict", "-CAfile", "ca.pem", "issuing.pem"); err != nil {
		t.Errorf("the issuing CA: %v: %s", err, out)
	}
	var revoked []byte
	for _, d := range endEntities() {
		cert := sample(t, issuer, d.Name, 1)
		writePEM(t, filepath.Join(dir, d.Name+".pem"), "CERTIFICATE", cert.Raw)
		if out, err := openssl(t, dir, "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca.pem", d.Name+".pem"); err != nil {
			t.Errorf("%s: %v: %s", d.Name, err, out)
		}
		// openssl reads and writes the same bytes.
		out, err := openssl(t, dir, "x509", "-in", d.Name+".pem", "-outform", "DER")
		if err != nil || out != string(cert.Raw) {
			t.Errorf("%s: openssl x509 writes other bytes, %v", d.Name, err)
		}
		if d.Name == "device" {
			revoked = cert.SerialNumber.Bytes()
		}
	}
	for purpose, want := range map[string]string{"sslserver": "registrar", "sslclient": "ra-client"} {
		if out, err := openssl(t, dir, "verify", "-purpose", purpose, "-CAfile", "ca.pem", want+".pem"); err != nil {
			t.Errorf("%s as %s: %v: %s", want, purpose, err, out)
		}
	}
	if out, err := openssl(t, dir, "verify", "-purpose", "sslserver", "-CAfile", "ca.pem", "ra-client.pem"); err == nil {
		t.Errorf("openssl takes the RA client as a server: %s", out)
	}
	checkLists(t, issuer, dir, revoked)
}

func checkLists(t *testing.T, issuer *localca.CA, dir string, revoked []byte) {
	t.Helper()
	list := &ca.RevocationList{Number: 7, Revoked: []ca.Revocation{{Serial: revoked, Reason: 1}}}
	list.ThisUpdate = issuer.Certificate().NotBefore
	list.NextUpdate = list.ThisUpdate.AddDate(0, 1, 0)
	list.Revoked[0].At = list.ThisUpdate
	raw, err := issuer.CRL(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "crl.pem"), "X509 CRL", raw)
	out, err := openssl(t, dir, "crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-crlnumber", "-text")
	if err != nil || !strings.Contains(out, "verify OK") || !strings.Contains(out, "crlNumber=0x07") && !strings.Contains(out, "crlNumber=7") || !strings.Contains(out, "Key Compromise") {
		t.Errorf("openssl crl: %v: %s", err, out)
	}
	if out, err := openssl(t, dir, "verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "ca.pem", "device.pem"); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl verify of the revoked: %v: %s", err, out)
	}
	if out, err := openssl(t, dir, "verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "ca.pem", "ldevid.pem"); err != nil {
		t.Errorf("openssl verify of another: %v: %s", err, out)
	}
	empty := *list
	empty.Revoked, empty.Number = nil, 8
	if raw, err = issuer.CRL(t.Context(), &empty); err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "empty.pem"), "X509 CRL", raw)
	if out, err := openssl(t, dir, "crl", "-in", "empty.pem", "-CAfile", "ca.pem", "-noout", "-text"); err != nil || !strings.Contains(out, "No Revoked Certificates") {
		t.Errorf("openssl crl of an empty list: %v: %s", err, out)
	}
}
