package est_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpauth"
	"github.com/briskest/briskest/internal/testpki"
)

// guard asks for authentication with challenges and lets pass who answers as wanted.
func guard(next http.Handler, want func(*httpauth.Authorization, *http.Request) bool, challenges ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("Authorization"); v != "" {
			if a, err := httpauth.ParseAuthorization(v); err == nil && want(a, r) {
				next.ServeHTTP(w, r)
				return
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["WWW-Authenticate"] = challenges
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func digest(algorithm httpauth.Algorithm, nonce string) func(*httpauth.Authorization, *http.Request) bool {
	return func(a *httpauth.Authorization, r *http.Request) bool {
		return a.Digest != nil && a.Digest.Nonce == nonce && a.Digest.URI == r.URL.RequestURI() &&
			a.Digest.Matches(httpauth.HA1(algorithm, "device", "factory", "secret"), r.Method)
	}
}

func basic(a *httpauth.Authorization, _ *http.Request) bool {
	return a.User == "device" && a.Password == "secret"
}
func bearer(a *httpauth.Authorization, _ *http.Request) bool { return a.Token == "the.token" }

const (
	askBasic  = `Basic realm="factory"`
	askBearer = `Bearer realm="factory"`
	askSHA256 = `Digest realm="factory", qop="auth", algorithm=SHA-256, nonce="n1"`
	askMD5    = `Digest realm="factory", qop="auth", nonce="n1"`
)

// anybody issues to whoever gets so far.
func (w *world) anybody() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.SetBasicAuth("device", "secret") // what the backend of the test knows
		w.site.handler.ServeHTTP(rw, r)
	})
}

// EST-7030-3.3.2-10: a client without a certificate authenticates by HTTP, in the best way both know, and only when it
// is asked to.
func TestAClientAnswersTheBestChallengeItCan(t *testing.T) {
	w := newWorld(t)
	for what, c := range map[string]struct {
		want       func(*httpauth.Authorization, *http.Request) bool
		challenges []string
		change     func(*est.Client)
		sent       int // requests with credentials for one enrollment
		good       bool
	}{
		"Basic":                              {want: basic, challenges: []string{askBasic}, sent: 1, good: true},
		"Digest with SHA-256":                {want: digest(httpauth.SHA256, "n1"), challenges: []string{askSHA256}, sent: 1, good: true},
		"Digest before Basic":                {want: digest(httpauth.SHA256, "n1"), challenges: []string{askBasic, askMD5, askSHA256}, sent: 1, good: true},
		"Digest with MD5, allowed":           {want: digest(httpauth.MD5, "n1"), challenges: []string{askMD5}, change: func(c *est.Client) { c.AllowMD5 = true }, sent: 1, good: true},
		"Digest with MD5, not allowed":       {want: digest(httpauth.MD5, "n1"), challenges: []string{askMD5}},
		"Bearer":                             {want: bearer, challenges: []string{askBasic + ", " + askBearer}, change: func(c *est.Client) { c.Token = "the.token" }, sent: 1, good: true},
		"Bearer without a token":             {want: bearer, challenges: []string{askBearer}},
		"a wrong password":                   {want: basic, challenges: []string{askBasic}, change: func(c *est.Client) { c.Password = "guess" }, sent: 1},
		"no credentials":                     {want: basic, challenges: []string{askBasic}, change: func(c *est.Client) { c.User, c.Password = "", "" }},
		"a scheme nobody knows":              {want: basic, challenges: []string{`Negotiate abc`}},
		"no challenge at all":                {want: basic},
		"a Digest whose nonce is always old": {want: digest(httpauth.SHA256, "n2"), challenges: []string{askSHA256 + ", stale=true"}, sent: 2},
	} {
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), guard(w.anybody(), c.want, c.challenges...))
		cl := w.net.client(t, s, w.own.Pool())
		if cl.User, cl.Password = "device", "secret"; c.change != nil {
			c.change(cl)
		}
		_, err := cl.SimpleEnroll(t.Context(), goodCSR(t, "device"))
		var status *est.StatusError
		if (err == nil) != c.good || (err != nil && (!errors.As(err, &status) || status.Status != 401)) {
			t.Errorf("%s: %v, want success %v", what, err, c.good)
		}
		asked := s.asked()
		if strings.HasSuffix(asked[0], "with credentials") {
			t.Errorf("%s: credentials went out before they were asked for", what)
		}
		if n := strings.Count(strings.Join(asked, "\n"), "with credentials"); n != c.sent || len(asked) != c.sent+1 {
			t.Errorf("%s: %q, want %d with credentials", what, asked, c.sent)
		}
		if !c.good {
			continue
		}
		if _, err := cl.SimpleEnroll(t.Context(), goodCSR(t, "device")); err != nil || len(s.asked()) != 1 {
			t.Errorf("%s: the second enrollment was challenged again, or failed: %v", what, err)
		}
	}
}

// EST-7030-3.2.3-07: a client that cannot answer the challenge closes the connection and asks nothing more.
func TestAClientThatCannotAnswerAChallengeClosesTheConnection(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	id := root.Server(t, "server")
	for what, link := range map[string]bool{"on a kept connection": false, "on one of its own": true} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.TLS()}})
		if err != nil {
			t.Fatal(err)
		}
		after := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				after <- err
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			req, err := http.ReadRequest(r)
			if err != nil {
				after <- err
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: "+askBasic+"\r\nContent-Length: 0\r\n\r\n")
			rest, err := io.ReadAll(r) // ends with close_notify
			if err == nil && len(rest) > 0 {
				err = errors.New("there was another request")
			}
			after <- err
		}()
		c := &est.Client{URL: "https://" + l.Addr().String(), Roots: root.Pool()}
		_, err = c.Request(t.Context(), &est.CertRequest{Link: link, CSR: linkedTo(t, testpki.NewKey(t))})
		var status *est.StatusError
		if !errors.As(err, &status) || status.Status != 401 {
			t.Errorf("%s: %v, want a refusal with 401", what, err)
		}
		if err := <-after; err != nil {
			t.Errorf("%s: after the challenge: %v", what, err)
		}
		_ = l.Close()
	}
}

// RFC 7030, Section 3.5, with a server that closes after each answer, as libest's does: the CSR follows the connection.
func TestALinkedCSRFollowsAChallengeToANewConnection(t *testing.T) {
	for _, version := range tlsVersions() {
		w := newWorld(t)
		var got []linkedCSR
		h := guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			got = append(got, readLinked(t, r))
			w.anybody().ServeHTTP(rw, r)
		}), digest(httpauth.SHA256, "n1"), askSHA256)
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Connection", "close")
			h.ServeHTTP(rw, r)
		}))
		c := w.net.client(t, s, w.own.Pool())
		c.User, c.Password, c.TLSConfig = "device", "secret", version
		if _, err := c.Request(t.Context(), &est.CertRequest{Link: true, CSR: linkedTo(t, testpki.NewKey(t))}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || !got[0].bound() || len(s.asked()) != 2 {
			t.Errorf("the CSR after the challenge: %+v", got)
		}
	}
}
