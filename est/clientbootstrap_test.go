package est_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// EST-7030-4.1.1-02, EST-7030-4.1.1-04, EST-7030-4.1.3-10: the anchor is taken by its fingerprint alone, and what
// follows goes over a new connection, whose server is verified by it.
func TestABootstrapTakesTheConfirmedAnchorAndNothingElse(t *testing.T) {
	w := newWorld(t)
	root := w.site.CA.Chain[0]
	s := w.net.serve(t, "est.example", named(t, w.site.CA, "est.example"), w.site.handler)
	idevid := testpki.NewRoot(t, "maker").IDevID(t, "SN-1", "").TLS()
	start := func() *est.Client {
		c := w.net.client(t, s, nil)
		c.User, c.Password, c.Certificate = "device", "secret", &idevid
		return c
	}
	for what, text := range map[string]string{
		"another root's": est.FingerprintOf(w.own.Certificate), "the issuing CA's": est.FingerprintOf(w.site.CA.Certificate),
	} {
		confirm, err := est.Fingerprint(text)
		if err != nil {
			t.Fatal(err)
		}
		set, err := start().Bootstrap(t.Context(), confirm)
		if set != nil || !errors.Is(err, est.ErrNotConfirmed) {
			t.Errorf("Bootstrap with %s fingerprint: %v, want ErrNotConfirmed", what, err)
		}
	}
	for _, text := range []string{"", "zz", "abcd", est.FingerprintOf(root) + ":00"} {
		if _, err := est.Fingerprint(text); err == nil {
			t.Errorf("Fingerprint(%q) is taken", text)
		}
	}
	confirm, err := est.Fingerprint(strings.ToLower(est.FingerprintOf(root)))
	if err != nil {
		t.Fatal(err)
	}
	set, err := start().Bootstrap(t.Context(), confirm)
	if err != nil || !set.Current().Equal(root) || len(set.Intermediates) != 1 {
		t.Fatalf("Bootstrap with the right fingerprint: %+v, %v", set, err)
	}
	for _, line := range s.asked() {
		if line != "GET /.well-known/est/cacerts" {
			t.Errorf("on a provisional connection: %q", line)
		}
	}
	if i := slices.IndexFunc(s.peers, func(c *x509.Certificate) bool { return c != nil }); i >= 0 {
		t.Error("the client's certificate was shown on a provisional connection")
	}
	if n := s.connected(); n != 3 {
		t.Errorf("3 bootstraps took %d connections", n)
	}
	c := w.net.client(t, s, set.Pool())
	c.User, c.Password = "device", "secret"
	if _, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device")); err != nil {
		t.Errorf("SimpleEnroll with the stored anchor: %v", err)
	}
	if s.connected() != 4 || c.Server().Store != est.StoreExplicit || !c.Server().Chain[len(c.Server().Chain)-1].Equal(root) {
		t.Errorf("the enrollment came on connection %d, verified by %+v", s.connected(), c.Server())
	}
}

// EST-7030-3.2.3-09, EST-7030-4.1.1-03: no challenge and no redirect is answered on an unauthenticated connection.
func TestABootstrapAnswersNoChallengeAndFollowsNoRedirect(t *testing.T) {
	w := newWorld(t)
	elsewhere := w.net.serve(t, "other.example", named(t, w.own, "other.example"), w.site.handler)
	for what, h := range map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.example/.well-known/est/cacerts", http.StatusTemporaryRedirect)
		},
	} {
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), h)
		c := w.net.client(t, s, nil)
		c.User, c.Password = "device", "secret"
		c.Redirect = func(context.Context, *est.Redirect) bool { return true }
		called := false
		_, err := c.Bootstrap(t.Context(), func(roots []*x509.Certificate) (*x509.Certificate, error) { called = true; return roots[0], nil })
		var status *est.StatusError
		if !errors.As(err, &status) || called {
			t.Errorf("Bootstrap answered with %s: %v, confirmation asked %v", what, err, called)
		}
		if got := s.asked(); len(got) != 1 || got[0] != "GET /.well-known/est/cacerts" {
			t.Errorf("Bootstrap answered with %s: asked %q", what, got)
		}
	}
	if got := elsewhere.asked(); len(got) != 0 {
		t.Errorf("the server of the redirect was asked %q", got)
	}
}

// RFC 7030, Section 4.1.1: a person may decide, and only among what came.
func TestAPersonConfirmsOneOfTheAnchorsThatCame(t *testing.T) {
	w := newWorld(t)
	s := w.net.serve(t, "est.example", named(t, w.site.CA, "est.example"), w.site.handler)
	shown := 0
	confirm := func(roots []*x509.Certificate) (*x509.Certificate, error) {
		shown = len(roots)
		return roots[0], nil
	}
	c := w.net.client(t, s, nil)
	c.TLSConfig = &tls.Config{MaxVersion: tls.VersionTLS12}
	if set, err := c.Bootstrap(t.Context(), confirm); err != nil || shown != 1 || len(set.Untrusted) != 0 {
		t.Errorf("Bootstrap with a yes: %+v, %v, %d shown", set, err, shown)
	}
	for what, no := range map[string]est.Confirm{
		"a no":             func([]*x509.Certificate) (*x509.Certificate, error) { return nil, errors.New("no") },
		"nothing":          func([]*x509.Certificate) (*x509.Certificate, error) { return nil, nil },
		"a stranger's own": func([]*x509.Certificate) (*x509.Certificate, error) { return w.own.Certificate, nil },
	} {
		if _, err := c.Bootstrap(t.Context(), no); !errors.Is(err, est.ErrNotConfirmed) {
			t.Errorf("Bootstrap with %s: %v, want ErrNotConfirmed", what, err)
		}
	}
	late := w.net.client(t, s, nil)
	late.Now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
	if _, err := late.Bootstrap(t.Context(), confirm); !errors.Is(err, est.ErrNoAnchor) {
		t.Errorf("Bootstrap with an expired root: %v, want ErrNoAnchor", err)
	}
}
