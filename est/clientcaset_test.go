package est_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
	"github.com/briskest/briskest/internal/testpki"
)

// rollover is a root that is being replaced (RFC 4210, Section 4.4), with two CAs below it.
type rollover struct {
	oldRoot, newRoot, oldWithNew, newWithOld *x509.Certificate
	first, second                            *x509.Certificate
}

func newRollover(t testing.TB) *rollover {
	t.Helper()
	certify := func(id string, years int, key, issuerKey *testpki.Identity, issuer string) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: id}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(years, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: key.Certificate.SubjectKeyId,
			AuthorityKeyId: issuerKey.Certificate.SubjectKeyId,
		}
		parent := *template
		parent.Subject, parent.SubjectKeyId = pkix.Name{CommonName: issuer}, issuerKey.Certificate.SubjectKeyId
		der, err := x509.CreateCertificate(rand.Reader, template, &parent, key.Key.Public(), issuerKey.Key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Two keys; the certificates of both have the same name.
	before, after := testpki.NewRoot(t, "x"), testpki.NewRoot(t, "y")
	const name = "domain root"
	r := &rollover{
		oldRoot: certify(name, 1, before, before, name), newRoot: certify(name, 9, after, after, name),
		oldWithNew: certify(name, 1, before, after, name), newWithOld: certify(name, 1, after, before, name),
	}
	r.first = certify("first", 1, testpki.NewRoot(t, "a"), before, name)
	r.second = certify("second", 1, testpki.NewRoot(t, "b"), after, name)
	return r
}

func (r *rollover) all() []*x509.Certificate {
	return []*x509.Certificate{r.oldRoot, r.newRoot, r.oldWithNew, r.newWithOld, r.first, r.second}
}

// EST-7030-3.1-02, EST-7030-4.1.3-08: in whatever order a set with rollover certificates arrives, the root that expires
// last is the current one and the rest is sorted the same way.
func TestARolloverSetIsJudgedTheSameInEveryOrder(t *testing.T) {
	r := newRollover(t)
	certs := r.all()
	now := time.Now()
	for range 50 {
		mathrand.Shuffle(len(certs), func(i, j int) { certs[i], certs[j] = certs[j], certs[i] })
		for what, anchor := range map[string]*x509.Certificate{"old": r.oldRoot, "new": r.newRoot} {
			set, err := est.JudgeCACerts(certs, anchor, now)
			if err != nil {
				t.Fatal(err)
			}
			if !set.Current().Equal(r.newRoot) || len(set.Anchors) != 2 || len(set.Intermediates) != 4 || len(set.Untrusted) != 0 {
				t.Fatalf("from the %s root: %d anchors, %d below, %d untrusted", what, len(set.Anchors), len(set.Intermediates), len(set.Untrusted))
			}
		}
		// From the network, without an anchor that the set has.
		a := reply{status: 200, contentType: "application/pkcs7-mime", body: b64(certsOnly(t, certs...))}.client()
		a.Now = time.Now
		set, err := a.TrustedCACerts(t.Context())
		if err != nil || !set.Current().Equal(r.newRoot) || len(set.Anchors) != 2 {
			t.Fatalf("TrustedCACerts: %+v, %v", set, err)
		}
	}
}

// EST-7030-4.1.3-09: what does not validate to the accepted anchor is not trusted, a self-signed certificate least.
func TestNothingIsTrustedThatTheAcceptedAnchorDoesNotVouchFor(t *testing.T) {
	r := newRollover(t)
	now := time.Now()
	stranger := testpki.NewRoot(t, "stranger") // expires last of all
	lookalike := testpki.NewRoot(t, "domain root")
	below := stranger.NewIntermediate(t, "below")
	leaf := stranger.Client(t, "no CA")
	certs := append(r.all(), stranger.Certificate, lookalike.Certificate, below.Certificate, leaf.Certificate)
	set, err := est.JudgeCACerts(certs, r.oldRoot, now)
	if err != nil || len(set.Untrusted) != 4 || len(set.Anchors) != 2 || !set.Current().Equal(r.newRoot) {
		t.Fatalf("JudgeCACerts: %+v, %v", set, err)
	}
	for _, c := range []*x509.Certificate{stranger.Certificate, lookalike.Certificate, below.Certificate, leaf.Certificate} {
		if !slices.ContainsFunc(set.Untrusted, c.Equal) {
			t.Errorf("%v is trusted", c.Subject)
		}
	}
	// A client that has an anchor is not talked into another one.
	w := newWorld(t)
	a := reply{status: 200, contentType: "application/pkcs7-mime", body: b64(certsOnly(t, append(certs, w.site.CA.Certificate, w.site.CA.Chain[0])...))}.client()
	a.Now = time.Now
	a.Roots = w.site.Root()
	set, err = a.TrustedCACerts(t.Context())
	if err != nil || len(set.Anchors) != 1 || !set.Current().Equal(w.site.CA.Chain[0]) || len(set.Intermediates) != 1 {
		t.Errorf("TrustedCACerts with an anchor: %+v, %v", set, err)
	}
	// Without the certificate that the old root made for the new key nothing ties the new root to it.
	without := slices.DeleteFunc(r.all(), r.newWithOld.Equal)
	if set, err = est.JudgeCACerts(without, r.oldRoot, now); err != nil || len(set.Anchors) != 1 {
		t.Errorf("a new root that nothing ties to the old one: %+v, %v", set, err)
	}
	for what, anchor := range map[string]*x509.Certificate{"no CA": leaf.Certificate, "an intermediate": below.Certificate} {
		if _, err := est.JudgeCACerts(certs, anchor, now); !errors.Is(err, est.ErrNoAnchor) {
			t.Errorf("JudgeCACerts from %s: %v, want ErrNoAnchor", what, err)
		}
	}
	if _, err := est.JudgeCACerts(slices.Repeat(certs, 9), r.oldRoot, now); !errors.Is(err, est.ErrNoAnchor) {
		t.Errorf("JudgeCACerts of 90 certificates: %v, want ErrNoAnchor", err)
	}
}

// EST-5652-5.1-02: a crls field that is empty is taken as one that is not there.
func TestAnEmptyFieldOfRevocationListsIsTaken(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	for what, crls := range map[string][][]byte{"no field": nil, "an empty field": {}} {
		m := &cmstest.Message{ContentType: cms.OIDData(), Certificates: [][]byte{root.Certificate.Raw}, CRLs: crls}
		der := m.Bytes(t)
		if bytes.Contains(der, []byte{0xa1, 0x00}) != (crls != nil) {
			t.Fatalf("%s: %x", what, der)
		}
		for form, body := range map[string][]byte{"DER": der, "BER": cmstest.Indefinite(der, 0)} {
			certs, err := reply{status: 200, contentType: "application/pkcs7-mime", body: b64(body)}.client().CACerts(t.Context())
			if err != nil || len(certs) != 1 {
				t.Errorf("CACerts with %s in %s: %v", what, form, err)
			}
		}
	}
	// RFC 7030, Appendix A.1, as it is printed: four certificates and an empty field, where the vectors are at hand.
	if dir := os.Getenv("BRISKEST_VECTORS"); dir != "" {
		body, err := os.ReadFile(filepath.Join(dir, "est", "rfc7030", "a1-cacerts-response.b64"))
		if err != nil {
			t.Fatal(err)
		}
		if certs, err := (reply{status: 200, contentType: "application/pkcs7-mime", body: string(body)}).client().CACerts(t.Context()); err != nil || len(certs) != 4 {
			t.Errorf("CACerts of the published answer: %d, %v", len(certs), err)
		}
	}
}
