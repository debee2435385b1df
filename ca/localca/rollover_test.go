package localca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
)

// domain is a root with an issuing CA below it.
type domain struct {
	root    localca.Root
	issuing *localca.CA
}

// newDomain makes both keys; every domain has the same names.
func newDomain(t *testing.T, at time.Time, pathLength int, previous []*localca.CA, links ...*x509.Certificate) *domain {
	t.Helper()
	now := func() time.Time { return at }
	rootKey, key := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P256())
	root, err := localca.NewRoot(t.Context(), rootKey, &localca.Authority{
		Subject: pkix.Name{CommonName: "Plant root"}, Lifetime: "3650d", PathLength: pathLength, Now: now, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	above, err := localca.New(localca.Config{Certificate: root, Key: rootKey, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	below, err := localca.NewIntermediate(t.Context(), above, key.Public(), &localca.Authority{
		Subject: pkix.Name{CommonName: "Plant CA"}, Lifetime: "1825d", Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &domain{localca.Root{Certificate: root, Key: rootKey}, open(t, below, root, key, now, previous, links)}
}

func open(t *testing.T, below, root *x509.Certificate, key crypto.Signer, now func() time.Time, previous []*localca.CA, links []*x509.Certificate) *localca.CA {
	t.Helper()
	c, err := localca.New(localca.Config{
		Certificate: below, Chain: []*x509.Certificate{root}, Key: key, Now: now, Previous: previous, Links: links,
		Profiles: profiles(t, profile.Device()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *domain) leaf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	cert, err := d.issuing.Certify(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "device", name))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// rolled is a domain before and after its root key was changed.
type rolled struct {
	before, after *domain
	links         *localca.Links
	recorded      []*ca.Intent
}

// rollOver changes the root 100 days after the first one was made.
func rollOver(t *testing.T, at time.Time) *rolled {
	t.Helper()
	r := &rolled{before: newDomain(t, at.Add(-100*24*time.Hour), -1, nil), after: newDomain(t, at, -1, nil)}
	var err error
	r.links, err = localca.NewLinks(t.Context(), &localca.Rollover{
		Old: r.before.root, New: r.after.root, Now: func() time.Time { return at },
		Record: func(_ context.Context, in *ca.Intent) error { r.recorded = append(r.recorded, in); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// EST-4210-4.4-01, EST-5280-4.2.1.9-01: the links are self-issued CA certificates
// with critical basicConstraints, in which nothing but the key differs from the
// roots, and they are on record before they are signed.
func TestLinksAreSelfIssuedCACertificates(t *testing.T) {
	r := rollOver(t, start())
	old, next := r.before.root.Certificate, r.after.root.Certificate
	for name, c := range map[string]struct{ link, subject, issuer *x509.Certificate }{
		"OldWithNew": {r.links.OldWithNew, old, next},
		"NewWithOld": {r.links.NewWithOld, next, old},
	} {
		if !bytes.Equal(c.link.RawSubject, old.RawSubject) || !bytes.Equal(c.link.RawIssuer, c.link.RawSubject) {
			t.Errorf("%s: subject %q, issuer %q, want both %q", name, c.link.Subject, c.link.Issuer, old.Subject)
		}
		if !bytes.Equal(c.link.RawSubjectPublicKeyInfo, c.subject.RawSubjectPublicKeyInfo) || c.link.CheckSignatureFrom(c.issuer) != nil {
			t.Errorf("%s is not %q's key signed by the other", name, c.subject.Subject)
		}
		if !bytes.Equal(c.link.SubjectKeyId, c.subject.SubjectKeyId) || !bytes.Equal(c.link.AuthorityKeyId, c.issuer.SubjectKeyId) {
			t.Errorf("%s: key identifiers %x under %x", name, c.link.SubjectKeyId, c.link.AuthorityKeyId)
		}
		if !c.link.IsCA || c.link.KeyUsage&x509.KeyUsageCertSign == 0 || !criticalBasicConstraints(c.link) {
			t.Errorf("%s has no CA bits, or they are not critical", name)
		}
		if c.link.NotAfter.After(old.NotAfter) || !c.link.NotBefore.Equal(c.subject.NotBefore) {
			t.Errorf("%s is valid from %s to %s", name, c.link.NotBefore, c.link.NotAfter)
		}
	}
	if len(r.recorded) != 2 || r.recorded[0].Profile != "ca-link" {
		t.Errorf("%d intents on record, want 2", len(r.recorded))
	}
	for _, c := range []*x509.Certificate{old, next, r.before.issuing.Certificate()} {
		if !criticalBasicConstraints(c) {
			t.Errorf("basicConstraints of %q are not critical", c.Subject)
		}
	}
}

func criticalBasicConstraints(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 19}) {
			return e.Critical && c.BasicConstraintsValid && c.IsCA
		}
	}
	return false
}

// EST-4210-4.4-01: with the links an old leaf verifies with the new anchor and a
// new leaf with the old one, by crypto/x509 and by openssl; without them neither does.
func TestLeavesVerifyAcrossARollover(t *testing.T) {
	at := time.Now()
	r := rollOver(t, at)
	oldLeaf, newLeaf := r.before.leaf(t, "old"), r.after.leaf(t, "new")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		leaf, anchor *x509.Certificate
		issuing      *localca.CA
		link         *x509.Certificate
	}{
		"old leaf, new anchor": {oldLeaf, r.after.root.Certificate, r.before.issuing, r.links.OldWithNew},
		"new leaf, old anchor": {newLeaf, r.before.root.Certificate, r.after.issuing, r.links.NewWithOld},
	} {
		for _, with := range []bool{true, false} {
			between := []*x509.Certificate{c.issuing.Certificate()}
			if with {
				between = append(between, c.link)
			}
			if err := verifies(c.leaf, c.anchor, between, at); (err == nil) != with {
				t.Errorf("%s, link %v: crypto/x509: %v", name, with, err)
			}
			var ders [][]byte
			for _, b := range between {
				ders = append(ders, b.Raw)
			}
			writePEM(t, filepath.Join(dir, "leaf.pem"), "CERTIFICATE", c.leaf.Raw)
			writePEM(t, filepath.Join(dir, "anchor.pem"), "CERTIFICATE", c.anchor.Raw)
			writePEM(t, filepath.Join(dir, "between.pem"), "CERTIFICATE", ders...)
			out, err := openssl(t, dir, "verify", "-x509_strict", "-CAfile", "anchor.pem", "-untrusted", "between.pem", "leaf.pem")
			if (err == nil) != with {
				t.Errorf("%s, link %v: openssl: %v\n%s", name, with, err, out)
			}
		}
	}
}

func verifies(leaf, anchor *x509.Certificate, between []*x509.Certificate, at time.Time) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	o.Roots.AddCert(anchor)
	for _, c := range between {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	return err
}

// RFC 7030, Section 4.1.3.
func TestCACertsHoldWhatARolloverNeeds(t *testing.T) {
	r := rollOver(t, start())
	c := open(t, r.after.issuing.Certificate(), r.after.root.Certificate, ecKeyOf(t, r.after), start,
		[]*localca.CA{r.before.issuing}, []*x509.Certificate{r.links.OldWithNew, r.links.NewWithOld, r.links.NewWithOld, r.after.root.Certificate})
	certs, err := c.CACerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []*x509.Certificate{r.before.issuing.Certificate(), r.before.root.Certificate, r.links.OldWithNew, r.links.NewWithOld}
	if len(certs) != len(want) {
		t.Fatalf("CACerts = %d certificates, want %d: old issuing CA, old root, both links, each once", len(certs), len(want))
	}
	for i := range want {
		if !certs[i].Equal(want[i]) {
			t.Errorf("CACerts[%d] = %q", i, certs[i].Subject)
		}
	}
	if p := c.Previous(); len(p) != 1 || p[0] != r.before.issuing {
		t.Errorf("Previous = %v", p)
	}
	// It still signs the list of what it issued.
	if _, err := c.Previous()[0].CRL(t.Context(), &ca.RevocationList{Number: 1, ThisUpdate: start(), NextUpdate: start().Add(time.Hour)}); err != nil {
		t.Errorf("CRL by the previous key: %v", err)
	}
	leaf := r.before.leaf(t, "device")
	if _, err := localca.New(localca.Config{Certificate: r.after.root.Certificate, Key: r.after.root.Key, Links: []*x509.Certificate{leaf}}); err == nil {
		t.Error("a device's certificate was taken for a link")
	}
}

func ecKeyOf(t *testing.T, d *domain) crypto.Signer {
	t.Helper()
	return localca.KeyOf(d.issuing)
}

func TestNoLinksBetweenRootsThatAreNotEachOthers(t *testing.T) {
	a, b := newDomain(t, start(), -1, nil), newDomain(t, start(), -1, nil)
	other := newRoot(t, ecKey(t, elliptic.P256()), -1)
	late := func() time.Time { return a.root.Certificate.NotAfter.Add(time.Hour) }
	for name, r := range map[string]*localca.Rollover{
		"another name": {Old: a.root, New: localca.Root{Certificate: other, Key: b.root.Key}, Now: start, Record: unrecorded},
		"the same key": {Old: a.root, New: a.root, Now: start, Record: unrecorded},
		"another key":  {Old: a.root, New: localca.Root{Certificate: b.root.Certificate, Key: a.root.Key}, Now: start, Record: unrecorded},
		"too late":     {Old: a.root, New: b.root, Now: late, Record: unrecorded},
		"no record":    {Old: a.root, New: b.root, Now: start},
	} {
		if _, err := localca.NewLinks(t.Context(), r); err == nil {
			t.Errorf("%s: links were made", name)
		}
	}
}

// R22: below an expired root nothing verifies, so nothing is issued.
func TestBelowAnExpiredRootNothingIsIssued(t *testing.T) {
	d := newDomain(t, start(), -1, nil)
	late := func() time.Time { return d.issuing.Certificate().NotBefore.Add(1800 * 24 * time.Hour) }
	root := *d.root.Certificate
	root.NotAfter = late().Add(-time.Hour)
	c := open(t, d.issuing.Certificate(), &root, ecKeyOf(t, d), late, nil, nil)
	recorded := false
	r := request(ecKey(t, elliptic.P256()).Public(), "device", "x")
	r.Record = func(context.Context, *ca.Intent) error { recorded = true; return nil }
	if _, err := c.Issue(t.Context(), r); !errors.Is(err, ca.ErrUnavailable) || recorded {
		t.Errorf("Issue below an expired root: %v, intent recorded %v, want ca.ErrUnavailable and none", err, recorded)
	}
}
