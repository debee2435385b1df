package est_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// EST-7030-4.2.3-10: the same request is repeated, and not before the time the server named, in either form.
func TestARequestIsRepeatedNotBeforeRetryAfter(t *testing.T) {
	key := testpki.NewKey(t)
	root := testpki.NewRoot(t, "root")
	csr := csrFor(t, "device", key)
	for what, c := range map[string]struct {
		status     int
		retryAfter func(now time.Time) string
		want       time.Duration
	}{
		"seconds":                  {202, func(time.Time) string { return "5" }, 5 * time.Second},
		"a date":                   {202, func(now time.Time) string { return now.Add(5 * time.Second).UTC().Format(http.TimeFormat) }, 5 * time.Second},
		"no time":                  {202, func(time.Time) string { return "" }, 10 * time.Second},
		"zero":                     {202, func(time.Time) string { return "0" }, 10 * time.Second},
		"a negative time":          {202, func(time.Time) string { return "-1" }, 10 * time.Second},
		"a date that is over":      {202, func(now time.Time) string { return now.Add(-time.Hour).UTC().Format(http.TimeFormat) }, 10 * time.Second},
		"seconds, and no room yet": {503, func(time.Time) string { return "7" }, 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			var bodies []string
			own := root.Issue(t, certificateFor("device"), key).Certificate
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return nil, err
				}
				at, bodies = append(at, time.Now()), append(bodies, string(body))
				if len(at) < 3 {
					return reply{status: c.status, retryAfter: c.retryAfter(time.Now())}.RoundTrip(r)
				}
				return reply{status: 200, contentType: "application/pkcs7-mime", body: b64(certsOnly(t, own))}.RoundTrip(r)
			})
			cl := &est.Client{URL: "https://est.example", HTTP: &http.Client{Transport: transport}}
			made := 0
			_, err := cl.Request(t.Context(), &est.CertRequest{MaxWait: time.Minute, CSR: func([]byte) ([]byte, error) { made++; return csr, nil }})
			if err != nil || len(at) != 3 || made != 1 {
				t.Fatalf("%s: %v after %d requests, %d CSRs", what, err, len(at), made)
			}
			if bodies[0] != bodies[1] || bodies[1] != bodies[2] {
				t.Errorf("%s: the requests differ", what)
			}
			for i := range 2 {
				if d := at[i+1].Sub(at[i]); d < c.want || d > c.want+time.Second {
					t.Errorf("%s: %v between two requests, want %v", what, d, c.want)
				}
			}
		})
	}
}

func TestAWaitIsBoundedByItsMaximumAndItsContext(t *testing.T) {
	csr := goodCSR(t, "device")
	for what, c := range map[string]struct {
		retryAfter string
		max, want  time.Duration
		requests   int
	}{
		"no wait at all":              {"5", 0, 0, 1},
		"a wait longer than allowed":  {"3600", time.Minute, 0, 1},
		"a huge one":                  {"99999999999999999999", 1 << 62, 0, 1},
		"several that together do":    {"25", time.Minute, 50 * time.Second, 3},
		"a server that always says 0": {"0", 55 * time.Second, 50 * time.Second, 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				n++
				return reply{status: 202, retryAfter: c.retryAfter}.RoundTrip(r)
			})
			cl := &est.Client{URL: "https://est.example", HTTP: &http.Client{Transport: transport}}
			start := time.Now()
			_, err := cl.Request(t.Context(), &est.CertRequest{MaxWait: c.max, CSR: func([]byte) ([]byte, error) { return csr, nil }})
			if !errors.Is(err, est.ErrPending) || n != c.requests || time.Since(start) != c.want {
				t.Errorf("%s: %v after %d requests and %v, want %d and %v", what, err, n, time.Since(start), c.requests, c.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			if c.requests == 1 || c.retryAfter == "25" {
				return
			}
			if _, err = cl.Request(ctx, &est.CertRequest{MaxWait: 1 << 40, CSR: func([]byte) ([]byte, error) { return csr, nil }}); err == nil {
				t.Errorf("%s: the context did not end the wait", what)
			}
		})
	}
}

// pipeListener accepts what dial connects, without a network.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// EST-7030-4.2.3-15: after a wait the connection is another one, and the CSR is made again for it, with key and names
// as before.
func TestALinkedCSRIsMadeAgainAfterAWait(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	id := named(t, root, "est.example")
	key := testpki.NewKey(t)
	for _, version := range tlsVersions() {
		synctest.Test(t, func(t *testing.T) {
			var got []linkedCSR
			var at []time.Time
			cert := root.Issue(t, certificateFor("device"), key).Certificate
			l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
			server := &http.Server{ErrorLog: discardLog(), ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, at = append(got, readLinked(t, r)), append(at, time.Now())
				if len(got) < 3 {
					w.Header().Set("Retry-After", strconv.Itoa(300))
					w.WriteHeader(http.StatusAccepted)
					return
				}
				w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
				_, _ = io.WriteString(w, b64(certsOnly(t, cert)))
			})}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{id.TLS()}, Time: time.Now}))
			}()
			c := &est.Client{URL: "https://est.example", Roots: root.Pool(), Dial: l.dial, TLSConfig: version, Now: func() time.Time { return id.Certificate.NotBefore.Add(time.Minute) }}
			_, err := c.Request(t.Context(), &est.CertRequest{Link: true, MaxWait: time.Hour, CSR: linkedTo(t, key)})
			if err != nil || len(got) != 3 {
				t.Fatalf("Request: %v after %d requests", err, len(got))
			}
			for i, l := range got {
				if !l.bound() || string(l.key) != string(got[0].key) || string(l.subject) != string(got[0].subject) {
					t.Errorf("CSR %d: challengePassword %q, the session has %x; or another key or name", i+1, l.password, l.binding)
				}
				if i > 0 && (l.password == got[i-1].password || at[i].Sub(at[i-1]) < 5*time.Minute) {
					t.Errorf("CSR %d is linked to the connection before, or came too early", i+1)
				}
			}
			_ = server.Close()
			<-done
		})
	}
}

// RFC 9110, Section 10.2.3: no room for csrattrs is waited for like no room for the request, within one maximum.
func TestEnrollWaitsForRoomFromItsFirstQuestionOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			return reply{status: 503, retryAfter: "20"}.RoundTrip(r)
		})
		c := &est.Client{URL: "https://est.example", HTTP: &http.Client{Transport: transport}}
		start := time.Now()
		_, err := c.Enroll(t.Context(), &est.Enrollment{Names: someNames(), MaxWait: 50 * time.Second})
		var status *est.StatusError
		if !errors.As(err, &status) || status.Status != 503 || n != 3 || time.Since(start) != 40*time.Second {
			t.Errorf("Enroll: %v after %d requests and %v", err, n, time.Since(start))
		}
	})
}
