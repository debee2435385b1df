package est_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// to redirects everything to name, on the same path.
func to(status int, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Redirect(w, r, "https://"+name+r.URL.Path, status)
	})
}

// EST-7030-3.2.1-03: another origin gets a POST only with consent, over a new TLS session with every check anew.
func TestAnotherOriginGetsAPOSTOnlyWithConsentAndAfterEveryCheck(t *testing.T) {
	w := newWorld(t)
	first := w.net.serve(t, "est.example", named(t, w.own, "est.example"), to(307, "new.example"))
	var asked []est.Redirect
	agree := func(_ context.Context, r *est.Redirect) bool { asked = append(asked, *r); return true }
	for what, c := range map[string]struct {
		id      *testpki.Identity
		consent func(context.Context, *est.Redirect) bool
		good    bool
	}{
		"a yes":                               {named(t, w.own, "new.example"), agree, true},
		"a yes, and the configured name":      {named(t, w.own, "est.example"), agree, true},
		"a yes, and an RA":                    {ra(t, w.own), agree, true},
		"a yes, and a third name":             {named(t, w.own, "www.example"), agree, false},
		"a yes, and another root":             {named(t, w.public, "new.example"), agree, false},
		"a no":                                {named(t, w.own, "new.example"), func(context.Context, *est.Redirect) bool { return false }, false},
		"nobody to ask":                       {named(t, w.own, "new.example"), nil, false},
		"nobody to ask, and another root too": {named(t, w.public, "new.example"), nil, false},
	} {
		second := w.net.serve(t, "new.example", c.id, w.site.handler)
		cl := w.net.client(t, first, w.own.Pool())
		cl.User, cl.Password, cl.Redirect = "device", "secret", c.consent
		_, err := cl.SimpleEnroll(t.Context(), goodCSR(t, "device"))
		if (err == nil) != c.good {
			t.Errorf("with %s: %v, want success %v", what, err, c.good)
		}
		if !c.good && len(second.asked()) != 0 {
			t.Errorf("with %s the other server was asked", what)
		}
	}
	if r := asked[0]; r.From.Host != "est.example" || r.To.String() != "https://new.example"+enrollPath || r.Operation != est.OpSimpleEnroll {
		t.Errorf("the caller was shown %+v", r)
	}
}

// EST-7030-3.6.2-01: with an implicit anchor the server has to have the configured name and that of each redirect.
func TestAnImplicitAnchorWantsEveryNameOnTheWay(t *testing.T) {
	w := newWorld(t)
	first := w.net.serve(t, "est.example", named(t, w.public, "est.example"), to(307, "two.example"))
	w.net.serve(t, "two.example", named(t, w.public, "two.example", "est.example"), to(307, "three.example"))
	for what, c := range map[string]struct {
		id   *testpki.Identity
		good bool
	}{
		"all three names":               {named(t, w.public, "est.example", "two.example", "three.example"), true},
		"the last name":                 {named(t, w.public, "three.example"), false},
		"the first and the last name":   {named(t, w.public, "est.example", "three.example"), false},
		"the first name":                {named(t, w.public, "est.example"), false},
		"no name of them, but it is RA": {ra(t, w.public), false},
	} {
		last := w.net.serve(t, "three.example", c.id, w.site.handler)
		cl := w.net.client(t, first, nil)
		cl.Implicit = w.public.Pool()
		_, err := cl.CACerts(t.Context())
		if (err == nil) != c.good || (len(last.asked()) == 1) != c.good {
			t.Errorf("a server with %s: %v, want success %v", what, err, c.good)
		}
	}
}

// RFC 7030, Section 3.2.1, RFC 9110, Section 15.4: a GET goes to another origin by itself, without the credentials.
func TestAGETGoesToAnotherOriginWithoutTheCredentials(t *testing.T) {
	w := newWorld(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		first := w.net.serve(t, "est.example", named(t, w.own, "est.example"), to(status, "new.example"))
		second := w.net.serve(t, "new.example", named(t, w.own, "new.example"), w.site.handler)
		c := w.net.client(t, first, w.own.Pool())
		c.User, c.Password = "device", "secret"
		if _, err := c.CACerts(t.Context()); err != nil {
			t.Errorf("CACerts through %d: %v", status, err)
		}
		if got := second.asked(); len(got) != 1 || got[0] != "GET /.well-known/est/cacerts" {
			t.Errorf("through %d the other server was asked %q", status, got)
		}
	}
}

// EST-7030-3.2.1-04, EST-7030-3.5-07: after a redirect the CSR is made again for the new session, with the same key.
func TestALinkedCSRIsMadeAgainAfterARedirect(t *testing.T) {
	for _, version := range tlsVersions() {
		w := newWorld(t)
		var mu sync.Mutex
		var got []linkedCSR // guarded by mu
		record := func(r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, readLinked(t, r))
		}
		first := w.net.serve(t, "est.example", named(t, w.own, "est.example"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			record(r)
			http.Redirect(w, r, "https://new.example"+r.URL.Path, http.StatusTemporaryRedirect)
		}))
		w.net.serve(t, "new.example", named(t, w.own, "new.example"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			record(r)
			w.site.handler.ServeHTTP(rw, r)
		}))
		c := w.net.client(t, first, w.own.Pool())
		c.User, c.Password, c.TLSConfig = "device", "secret", version
		c.Redirect = func(context.Context, *est.Redirect) bool { return true }
		key := testpki.NewKey(t)
		cert, err := c.Request(t.Context(), &est.CertRequest{Link: true, CSR: linkedTo(t, key)})
		if err != nil {
			t.Fatalf("Request: %v", err)
		}
		// The second one at the other origin answers its challenge, on the same connection.
		if len(got) != 3 || got[1].password != got[2].password {
			t.Fatalf("%d POSTs", len(got))
		}
		for i, l := range got {
			if !l.bound() {
				t.Errorf("CSR %d has challengePassword %q, its session has %x", i+1, l.password, l.binding)
			}
			if string(l.key) != string(cert.RawSubjectPublicKeyInfo) {
				t.Errorf("CSR %d is for another key", i+1)
			}
		}
		if got[0].password == got[1].password {
			t.Error("both sessions got the same CSR")
		}
	}
}

func TestHostileRedirectsEnd(t *testing.T) {
	w := newWorld(t)
	id := named(t, w.own, "est.example", "b.example")
	for what, location := range map[string]string{
		"to itself": "", "to plain http": "http://est.example" + enrollPath, "to nowhere": "https://",
		"to a user": "https://est.example@b.example" + enrollPath, "to a script": "javascript:alert(1)", "to a file": "file:///etc/passwd",
		"that is no URL": "https://[::1", "to a huge one": "https://b.example/" + strings.Repeat("x", 16<<10),
	} {
		s := w.net.serve(t, "est.example", id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if location == "" {
				w.Header().Set("Location", r.URL.Path)
			} else {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(http.StatusPermanentRedirect)
		}))
		c := w.net.client(t, s, w.own.Pool())
		c.User, c.Password = "device", "secret"
		_, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device"))
		if !errors.Is(err, est.ErrRedirect) || len(err.Error()) > 400 {
			t.Errorf("a redirect %s: %.400v, want ErrRedirect", what, err)
		}
	}
	// Two servers that send the client to each other.
	a := w.net.serve(t, "est.example", id, to(307, "b.example"))
	b := w.net.serve(t, "b.example", id, to(307, "est.example"))
	c := w.net.client(t, a, w.own.Pool())
	if _, err := c.CACerts(t.Context()); !errors.Is(err, est.ErrRedirect) {
		t.Errorf("a loop of two: %v, want ErrRedirect", err)
	}
	if n := len(a.asked()) + len(b.asked()); n != 6 {
		t.Errorf("a loop of two took %d requests", n)
	}
}
