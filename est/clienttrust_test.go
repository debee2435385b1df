package est_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// world is a domain's root, a public one, and what they certified.
type world struct {
	own, public *testpki.Identity
	net         network
	site        *site
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{own: testpki.NewRoot(t, "domain root"), public: testpki.NewRoot(t, "public root"), site: newSite(t)}
}

func cmcRA() []asn1.ObjectIdentifier {
	return []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}
}

// ra issues a certificate with id-kp-cmcRA for a name that nobody asks for.
func ra(t testing.TB, ca *testpki.Identity) *testpki.Identity {
	t.Helper()
	return ca.Issue(t, &x509.Certificate{
		DNSNames: []string{"ra.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, UnknownExtKeyUsage: cmcRA(),
	}, testpki.NewKey(t))
}

// EST-7030-3.1-06, EST-7030-3.1-07, EST-7030-3.3.1-04, EST-7030-3.3.1-05, EST-7030-3.6.1-01, EST-7030-3.6.2-01: which
// database of anchors verified the server is known, its rule authorizes, and either can be left out.
func TestEachDatabaseOfAnchorsAuthorizesByItsOwnRule(t *testing.T) {
	w := newWorld(t)
	crossed := w.own.Issue(t, &x509.Certificate{
		Subject: w.public.Certificate.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		SubjectKeyId: w.public.Certificate.SubjectKeyId,
	}, w.public.Key)
	both := named(t, w.public, "est.example")
	both.Chain = []*x509.Certificate{crossed.Certificate}
	own, public := w.own.Pool(), w.public.Pool()
	for what, c := range map[string]struct {
		id                 *testpki.Identity
		explicit, implicit *x509.CertPool
		store              est.Store // with good
		ra, good           bool
	}{
		"own root, right name":                      {id: named(t, w.own, "est.example"), explicit: own, store: est.StoreExplicit, good: true},
		"own root, right name, both on":             {id: named(t, w.own, "est.example"), explicit: own, implicit: public, store: est.StoreExplicit, good: true},
		"own root, wrong name, id-kp-cmcRA":         {id: ra(t, w.own), explicit: own, store: est.StoreExplicit, ra: true, good: true},
		"own root, wrong name":                      {id: named(t, w.own, "www.example"), explicit: own, implicit: public},
		"own root, explicit off":                    {id: named(t, w.own, "est.example"), implicit: public},
		"public root, right name":                   {id: named(t, w.public, "est.example"), implicit: public, store: est.StoreImplicit, good: true},
		"public root, right name, both on":          {id: named(t, w.public, "est.example"), explicit: own, implicit: public, store: est.StoreImplicit, good: true},
		"public root, right name, implicit off":     {id: named(t, w.public, "est.example"), explicit: own},
		"public root, wrong name, id-kp-cmcRA":      {id: ra(t, w.public), explicit: own, implicit: public},
		"public root, wrong name, implicit alone":   {id: ra(t, w.public), implicit: public},
		"both roots, right name, both on":           {id: both, explicit: own, implicit: public, store: est.StoreExplicit, good: true},
		"both roots, right name, explicit off":      {id: both, implicit: public, store: est.StoreImplicit, good: true},
		"another root, right name":                  {id: named(t, testpki.NewRoot(t, "domain root"), "est.example"), explicit: own, implicit: public},
		"public root as explicit too, wrong name":   {id: ra(t, w.public), explicit: public, implicit: public, store: est.StoreExplicit, ra: true, good: true},
		"own root, right name, only the empty pool": {id: named(t, w.own, "est.example"), explicit: x509.NewCertPool()},
	} {
		s := w.net.serve(t, "est.example", c.id, w.site.handler)
		cl := w.net.client(t, s, c.explicit)
		cl.Implicit, cl.User, cl.Password = c.implicit, "device", "secret"
		_, err := cl.SimpleEnroll(t.Context(), goodCSR(t, "device"))
		if (err == nil) != c.good {
			t.Errorf("%s: %v, want success %v", what, err, c.good)
			continue
		}
		if !c.good {
			if asked := s.asked(); len(asked) != 0 || cl.Server() != nil {
				t.Errorf("%s: the server was asked %q", what, asked)
			}
			continue
		}
		if got := cl.Server(); got.Store != c.store || got.RA != c.ra || !got.Chain[0].Equal(c.id.Certificate) {
			t.Errorf("%s: verified by the %v store, RA %v, want %v, %v", what, got.Store, got.RA, c.store, c.ra)
		}
	}
	s := w.net.serve(t, "est.example", both, w.site.handler)
	if _, err := w.net.client(t, s, nil).CACerts(t.Context()); !errors.Is(err, est.ErrNoAnchors) {
		t.Errorf("without any anchors: %v, want ErrNoAnchors", err)
	}
}

// EST-7030-3.3.1-03: the server's path is validated per RFC 5280, Section 6.
func TestABadPathIsRefusedInTheHandshake(t *testing.T) {
	w := newWorld(t)
	ca := func(parent *testpki.Identity, change func(*x509.Certificate)) *testpki.Identity {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		change(c)
		return parent.Issue(t, c, testpki.NewKey(t))
	}
	plain := func(*x509.Certificate) {}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	noPath := ca(w.own, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	for what, id := range map[string]*testpki.Identity{
		"an expired certificate": w.own.Issue(t, &x509.Certificate{
			DNSNames: []string{"est.example"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		}, testpki.NewKey(t)),
		"one that is not valid yet": w.own.Issue(t, &x509.Certificate{
			DNSNames: []string{"est.example"}, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		}, testpki.NewKey(t)),
		"a client's certificate": w.own.Issue(t, &x509.Certificate{
			DNSNames: []string{"est.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, testpki.NewKey(t)),
		"an expired CA":           named(t, ca(w.own, expired), "est.example"),
		"a path that is too long": named(t, ca(noPath, plain), "est.example"),
		"a CA for other names": named(t, ca(w.own, func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.example"}
		}), "est.example"),
		"a CA that may not sign for this name": named(t, ca(w.own, func(c *x509.Certificate) {
			c.ExcludedDNSDomains = []string{"est.example"}
		}), "est.example"),
		"an issuer that is no CA": named(t, w.own.Client(t, "client"), "est.example"),
		"a CA for clients only": named(t, ca(w.own, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "est.example"),
		"an RA below a CA for mail only": ra(t, ca(w.own, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		})),
		"an RA below an expired CA": ra(t, ca(w.own, expired)),
	} {
		s := w.net.serve(t, "est.example", id, w.site.handler)
		c := w.net.client(t, s, w.own.Pool())
		if _, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device")); err == nil {
			t.Errorf("a server with %s was believed", what)
		}
		if asked := s.asked(); len(asked) != 0 {
			t.Errorf("a server with %s was asked %q", what, asked)
		}
	}
	for what, id := range map[string]*testpki.Identity{
		"a CA between":            named(t, ca(ca(w.own, plain), plain), "est.example"),
		"a CA for servers":        named(t, ca(w.own, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "est.example"),
		"an RA below a CA":        ra(t, ca(w.own, plain)),
		"an RA below a CA of RAs": ra(t, ca(w.own, func(c *x509.Certificate) { c.UnknownExtKeyUsage = cmcRA() })),
	} {
		s := w.net.serve(t, "est.example", id, w.site.handler)
		if _, err := w.net.client(t, s, w.own.Pool()).CACerts(t.Context()); err != nil {
			t.Errorf("a server with %s: %v", what, err)
		}
	}
}

// EST-7030-3.3-04, EST-7030-3.6-01, EST-7030-4.1.2-04, EST-7030-4.2-02: nothing is sent to a server that is not
// authenticated and authorized, for whatever operation.
func TestNothingIsSentToAServerThatIsNotTheOneMeant(t *testing.T) {
	w := newWorld(t)
	for what, id := range map[string]*testpki.Identity{
		"the wrong name": named(t, w.own, "www.example"), "another root": named(t, w.public, "est.example"),
	} {
		s := w.net.serve(t, "est.example", id, w.site.handler)
		c := w.net.client(t, s, w.own.Pool())
		c.User, c.Password = "device", "secret"
		if certs, err := c.CACerts(t.Context()); err == nil || certs != nil {
			t.Errorf("CACerts from a server with %s: %d certificates, %v", what, len(certs), err)
		}
		if _, err := c.CSRAttrs(t.Context()); err == nil {
			t.Errorf("CSRAttrs from a server with %s succeeded", what)
		}
		for _, link := range []bool{false, true} {
			called := 0
			_, err := c.Request(t.Context(), &est.CertRequest{Link: link, CSR: func([]byte) ([]byte, error) { called++; return goodCSR(t, "device"), nil }})
			if err == nil || (link && called != 0) {
				t.Errorf("Request to a server with %s: %v, its CSR was made %d times", what, err, called)
			}
		}
		if asked := s.asked(); len(asked) != 0 {
			t.Errorf("a server with %s was asked %q", what, asked)
		}
	}
}
