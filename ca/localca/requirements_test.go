package localca_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// outside reads what a certificate says of its signature within and without, and
// the version's bytes.
func outside(t *testing.T, raw []byte) (inner, outer, version []byte) {
	t.Helper()
	in := cryptobyte.String(raw)
	var seq, tbs, v, a, b cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&tbs, cbasn1.SEQUENCE) || !seq.ReadASN1Element(&b, cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&v, cbasn1.Tag(0).ContextSpecific().Constructed()) || !tbs.SkipASN1(cbasn1.INTEGER) || !tbs.ReadASN1Element(&a, cbasn1.SEQUENCE) {
		t.Fatalf("no certificate: %x", raw)
	}
	return a, b, v
}

// EST-5280-4.1.1.2-01, EST-5280-4.1.2.1-01, EST-5280-4.1.2.4-01, EST-5280-4.2.1.1-01,
// EST-5280-4.2.1.2-01, EST-5280-4.2.1.3-01, EST-5280-4.2.1.3-02, EST-5280-4.2-01: what every certificate
// of every shipped profile has, by every type of CA key.
func TestEveryCertificateHasWhatRFC5280WantsOfAll(t *testing.T) {
	keys := lintKeys(t)
	for _, issuer := range lintIssuers(t, keys) {
		for _, d := range profile.Shipped() {
			p := issuer.Profile(d.Name)
			if p == nil { // root-ca
				continue
			}
			for n := range 4 {
				cert := sample(t, issuer, d.Name, n)
				hasWhatAllHave(t, cert, issuer.Certificate())
			}
		}
		hasWhatAllHave(t, issuer.Certificate(), issuer.Certificate())
	}
}

func hasWhatAllHave(t *testing.T, cert, issuer *x509.Certificate) {
	t.Helper()
	if inner, outer, version := outside(t, cert.Raw); !bytes.Equal(inner, outer) || !bytes.Equal(version, []byte{0xa0, 3, 2, 1, 2}) {
		t.Errorf("%s: signature algorithms %x and %x, version %x", cert.Subject, inner, outer, version)
	}
	if len(cert.RawIssuer) <= 2 || !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		t.Errorf("%s: issuer %x, want %x", cert.Subject, cert.RawIssuer, issuer.RawSubject)
	}
	if len(cert.SubjectKeyId) == 0 || !bytes.Equal(cert.SubjectKeyId, profile.KeyID(cert.RawSubjectPublicKeyInfo)) {
		t.Errorf("%s: subject key identifier %x", cert.Subject, cert.SubjectKeyId)
	}
	if len(cert.AuthorityKeyId) == 0 || !bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId) {
		t.Errorf("%s: authority key identifier %x, want %x", cert.Subject, cert.AuthorityKeyId, issuer.SubjectKeyId)
	}
	seen := map[string]bool{}
	for _, e := range cert.Extensions {
		if seen[e.Id.String()] {
			t.Errorf("%s: the extension %s is there twice", cert.Subject, e.Id)
		}
		seen[e.Id.String()] = true
		if e.Id.String() == "2.5.29.35" && e.Critical || e.Id.String() == "2.5.29.15" && !e.Critical {
			t.Errorf("%s: criticality of %s is %v", cert.Subject, e.Id, e.Critical)
		}
	}
	if cert.KeyUsage == 0 || (cert.KeyUsage&x509.KeyUsageCertSign != 0) != cert.IsCA {
		t.Errorf("%s: key usage %b, CA %v", cert.Subject, cert.KeyUsage, cert.IsCA)
	}
	if enciphers := x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment; cert.PublicKeyAlgorithm != x509.RSA && cert.KeyUsage&enciphers != 0 {
		t.Errorf("%s: key usage %b with a key of %s", cert.Subject, cert.KeyUsage, cert.PublicKeyAlgorithm)
	}
}

// EST-5280-4.1.2.6-01: an empty subject stands beside a critical SubjectAltName only.
func TestAnEmptySubjectHasACriticalSubjectAltName(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()), profile.Device())
	isCritical := func(e pkix.Extension) bool { return e.Id.String() == "2.5.29.17" && e.Critical }
	for _, commonName := range []string{"", "d1"} {
		r := request(ecKey(t, elliptic.P256()).Public(), "device", commonName, "d1.example.com")
		cert, err := c.Certify(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if critical := slices.ContainsFunc(cert.Extensions, isCritical); critical != (commonName == "") {
			t.Errorf("subject %q: SubjectAltName critical = %v", cert.Subject, critical)
		}
	}
	if made, err := c.Issue(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", "")); !errors.Is(err, ca.ErrRejected) || made != nil {
		t.Errorf("no names at all: %v, want ErrRejected", err)
	}
}

// EST-5280-4.2.1.12-01: what renews itself at this server may be a TLS client.
func TestCertificatesThatRenewThemselvesAreForClients(t *testing.T) {
	issuer := lintIssuers(t, lintKeys(t))[0]
	roots := x509.NewCertPool()
	roots.AddCert(issuer.Certificate())
	for _, name := range []string{"device", "ldevid", "acp", "tls-client", "ra-client", "registrar"} {
		cert := sample(t, issuer, name, 1)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
