package localca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
)

// start is the moment of every test that does not say otherwise.
func start() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func unrecorded(context.Context, *ca.Intent) error { return nil }

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustProfile(t testing.TB, d *profile.Document) *profile.Profile {
	t.Helper()
	p, err := profile.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func profiles(t testing.TB, documents ...*profile.Document) map[string]*profile.Profile {
	t.Helper()
	out := make(map[string]*profile.Profile)
	for _, d := range documents {
		out[d.Name] = mustProfile(t, d)
	}
	return out
}

func newRoot(t testing.TB, key crypto.Signer, pathLength int) *x509.Certificate {
	t.Helper()
	root, err := localca.NewRoot(t.Context(), key, &localca.Authority{
		Subject: pkix.Name{CommonName: "Test root"}, Lifetime: "3650d", PathLength: pathLength, Now: start, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// newCA makes a root that issues by the given profiles.
func newCA(t testing.TB, key crypto.Signer, documents ...*profile.Document) *localca.CA {
	t.Helper()
	c, err := localca.New(localca.Config{
		Certificate: newRoot(t, key, -1), Key: key, Profiles: profiles(t, documents...), Now: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newFixture is an issuing CA below a root, with a key that checks its caller.
func newFixture(t *testing.T) catest.Fixture {
	t.Helper()
	rootKey, key := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	root := newCA(t, rootKey)
	certificate, err := localca.NewIntermediate(t.Context(), root, key.Public(), &localca.Authority{
		Subject: pkix.Name{CommonName: "Test issuing CA"}, Lifetime: "1825d", Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	signer := catest.NewSigner(t, key)
	c, err := localca.New(localca.Config{
		Certificate: certificate, Chain: []*x509.Certificate{root.Certificate()}, Key: signer, Profiles: profiles(t, profile.Device()), Now: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	return catest.Fixture{
		Issuer: c, Profile: "device", Signer: signer,
		Break: func(r *ca.Request) { r.Names.Email = []string{"device@example.com"} },
	}
}

func TestCAIsAnIssuer(t *testing.T) {
	catest.TestIssuer(t, newFixture)
}

func request(key crypto.PublicKey, profileName, commonName string, dns ...string) *ca.Request {
	return &ca.Request{
		Profile: profileName, PublicKey: key, Subject: pkix.Name{CommonName: commonName}.ToRDNSequence(), Names: ca.Names{DNS: dns}, Record: unrecorded,
	}
}

func TestEveryKindOfCAKeySigns(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key       crypto.Signer
		algorithm profile.SignatureAlgorithm
		want      x509.SignatureAlgorithm
	}{
		{ecKey(t, elliptic.P256()), "", x509.ECDSAWithSHA256},
		{ecKey(t, elliptic.P384()), "", x509.ECDSAWithSHA384},
		{ecKey(t, elliptic.P521()), "", x509.ECDSAWithSHA512},
		{ecKey(t, elliptic.P256()), profile.ECDSAWithSHA384, x509.ECDSAWithSHA384},
		{rsaKey, "", x509.SHA256WithRSA},
		{rsaKey, profile.RSAWithSHA384, x509.SHA384WithRSA},
		{rsaKey, profile.RSAWithSHA512, x509.SHA512WithRSA},
		{rsaKey, profile.RSAPSSWithSHA256, x509.SHA256WithRSAPSS},
		{rsaKey, profile.RSAPSSWithSHA384, x509.SHA384WithRSAPSS},
		{rsaKey, profile.RSAPSSWithSHA512, x509.SHA512WithRSAPSS},
		{edKey, "", x509.PureEd25519},
	} {
		d := profile.Device()
		d.SignatureAlgorithm = string(c.algorithm)
		issuer, err := localca.New(localca.Config{
			Certificate: newRoot(t, c.key, -1), Key: c.key, Profiles: profiles(t, d), Now: start, VerifySignatures: true,
		})
		if err != nil {
			t.Fatalf("New with a %T: %v", c.key, err)
		}
		cert, err := issuer.Certify(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", "d1"))
		if err != nil {
			t.Fatalf("Certify with a %T: %v", c.key, err)
		}
		if cert.SignatureAlgorithm != c.want {
			t.Errorf("signed with %s, want %s", cert.SignatureAlgorithm, c.want)
		}
		if err := cert.CheckSignatureFrom(issuer.Certificate()); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

func TestNewRefusesPartsThatDoNotBelongTogether(t *testing.T) {
	key, other := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	root := newCA(t, key, profile.Device())
	leaf, err := root.Certify(t.Context(), request(other.Public(), "device", "d1"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := localca.NewIntermediate(t.Context(), root, other.Public(), &localca.Authority{
		Subject: pkix.Name{CommonName: "below"}, Lifetime: "365d", Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	stranger := newRoot(t, ecKey(t, elliptic.P256()), -1)
	pss := profile.Device()
	pss.SignatureAlgorithm = "rsa_pss_sha256"
	for name, c := range map[string]struct {
		config localca.Config
		want   string
	}{
		"no key":               {localca.Config{Certificate: root.Certificate()}, "missing"},
		"another key":          {localca.Config{Certificate: root.Certificate(), Key: other}, "not that of the CA certificate"},
		"a device":             {localca.Config{Certificate: leaf, Key: other, Chain: []*x509.Certificate{root.Certificate()}}, "no CA certificate"},
		"no root":              {localca.Config{Certificate: below, Key: other}, "self-signed root last"},
		"another root":         {localca.Config{Certificate: below, Key: other, Chain: []*x509.Certificate{stranger}}, "was not issued by"},
		"a profile's name":     {localca.Config{Certificate: root.Certificate(), Key: key, Profiles: map[string]*profile.Profile{"x": mustProfile(t, profile.Device())}}, "another name"},
		"a signature":          {localca.Config{Certificate: root.Certificate(), Key: key, Profiles: profiles(t, pss)}, "does not go with the CA's key"},
		"a CA below the limit": {localca.Config{Certificate: below, Key: other, Chain: []*x509.Certificate{root.Certificate()}, Profiles: profiles(t, profile.IssuingCA("30d", 0))}, "path length"},
	} {
		_, err := localca.New(c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New with %s = %v, want an error with %q", name, err, c.want)
		}
	}
}

// R22: a CA that has expired starts, says so, and issues nothing.
func TestAnExpiredCAStartsAndSaysSo(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	root := newRoot(t, key, -1)
	for name, now := range map[string]time.Time{"expired": root.NotAfter.Add(time.Second), "clock behind": root.NotBefore.Add(-time.Second)} {
		c, err := localca.New(localca.Config{
			Certificate: root, Key: key, Profiles: profiles(t, profile.Device()), Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatalf("%s: New: %v", name, err)
		}
		_, err = c.Issue(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", "d1"))
		if !errors.Is(err, ca.ErrUnavailable) || !strings.Contains(err.Error(), "valid from") {
			t.Errorf("%s: Issue = %v, want ErrUnavailable that says when it is valid", name, err)
		}
	}
}

func TestNoCertificateIsIssuedForTheCAsOwnKey(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	c := newCA(t, key, profile.Device())
	if _, err := c.Issue(t.Context(), request(key.Public(), "device", "d1")); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Issue for the CA's key = %v, want ErrRejected", err)
	}
}

func TestNothingIsIssuedWithoutRecord(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()), profile.Device())
	r := request(ecKey(t, elliptic.P256()).Public(), "device", "d1")
	r.Record = nil
	if _, err := c.Issue(t.Context(), r); err == nil {
		t.Error("Issue without Record issued")
	}
}

// lyingSigner signs something else.
type lyingSigner struct{ *ecdsa.PrivateKey }

func (s lyingSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	wrong := append([]byte(nil), digest...)
	wrong[0] ^= 1
	return s.PrivateKey.Sign(random, wrong, opts)
}

func TestAWrongSignatureDoesNotLeaveWhenVerified(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	c, err := localca.New(localca.Config{
		Certificate: newRoot(t, key, -1), Key: lyingSigner{key}, Profiles: profiles(t, profile.Device()), Now: start, VerifySignatures: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.Issue(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", "d1"))
	if !errors.Is(err, ca.ErrUnavailable) || made != nil {
		t.Errorf("Issue with a signer that lies = %v, %v, want ErrUnavailable", made, err)
	}
}

// EST-5280-4.1.2.5-02.
func TestACertificateEndsWithItsCAUnlessTheProfileSaysOtherwise(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	long := profile.Device()
	long.Validity.Lifetime = "7300d"
	c := newCA(t, key, long, profile.IDevID("masa.example.com"))
	cert, err := c.Certify(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", "d1"))
	if err != nil {
		t.Fatal(err)
	}
	if !cert.NotAfter.Equal(c.Certificate().NotAfter) {
		t.Errorf("NotAfter = %s, want the CA's %s", cert.NotAfter, c.Certificate().NotAfter)
	}
	r := request(ecKey(t, elliptic.P256()).Public(), "idevid", "d1")
	r.Subject = pkix.Name{SerialNumber: "JADA-1"}.ToRDNSequence()
	if cert, err = c.Certify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if !cert.NotAfter.Equal(profile.Never()) {
		t.Errorf("an IDevID's NotAfter = %s, want %s", cert.NotAfter, profile.Never())
	}
}

func sampleSubject(t testing.TB, p *profile.Profile) pkix.RDNSequence {
	t.Helper()
	subject, _, err := p.Sample(1)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// RFC 5280, Section 4.2.1.9.
func TestPathLengthsAreKept(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	root := newRoot(t, key, 1)
	if !root.IsCA || root.MaxPathLen != 1 || root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(root.AuthorityKeyId) == 0 || len(root.ExtKeyUsage) != 0 {
		t.Errorf("root: CA %v, path length %d, usage %b", root.IsCA, root.MaxPathLen, root.KeyUsage)
	}
	c, err := localca.New(localca.Config{Certificate: root, Key: key, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	below := func(pathLength int) (*x509.Certificate, error) {
		return localca.NewIntermediate(t.Context(), c, ecKey(t, elliptic.P256()).Public(), &localca.Authority{
			Subject: pkix.Name{CommonName: "below"}, Lifetime: "365d", PathLength: pathLength, Record: unrecorded,
		})
	}
	if cert, err := below(0); err != nil || !cert.MaxPathLenZero || cert.MaxPathLen != 0 {
		t.Errorf("path length 0 below 1: %v", err)
	}
	for _, pathLength := range []int{1, 2, -1} {
		if _, err := below(pathLength); err == nil {
			t.Errorf("path length %d was made below 1", pathLength)
		}
	}
}

func TestARootIsRecordedBeforeItsKeySigns(t *testing.T) {
	signer := catest.NewSigner(t, ecKey(t, elliptic.P256()))
	full := errors.New("disk full")
	a := &localca.Authority{
		Subject: pkix.Name{CommonName: "Root"}, Lifetime: "never", PathLength: -1, Now: start,
		Record: signer.Recorder(func(context.Context, *ca.Intent) error { return full }),
	}
	if _, err := localca.NewRoot(t.Context(), signer, a); !errors.Is(err, full) || signer.Calls() != 0 {
		t.Errorf("NewRoot = %v after %d signatures, want Record's error and none", err, signer.Calls())
	}
	a.Record = signer.Recorder(nil)
	root, err := localca.NewRoot(t.Context(), signer, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.CheckSignatureFrom(root); err != nil || !root.NotAfter.Equal(profile.Never()) {
		t.Errorf("the root: %v, ends %s", err, root.NotAfter)
	}
	a.Record = nil
	if _, err := localca.NewRoot(t.Context(), signer, a); err == nil {
		t.Error("a root was made without Record")
	}
	a.Record, a.Subject = unrecorded, pkix.Name{}
	if _, err := localca.NewRoot(t.Context(), signer, a); !errors.Is(err, profile.ErrNameMissing) {
		t.Errorf("a root without a name: %v, want ErrNameMissing", err)
	}
}
