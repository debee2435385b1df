package httpserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/testpki"
)

func start(t *testing.T, c httpserver.Config) (base string, client *http.Client) {
	t.Helper()
	root := testpki.NewRoot(t, "Server Root")
	cert := root.Server(t, "server").TLS()
	c.Certificates = func() []*tls.Certificate { return []*tls.Certificate{&cert} }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpserver.New(l, c)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: root.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + l.Addr().String(), &http.Client{Transport: transport}
}

func get(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

// R17: the path that was sent is the path that is decided on.
func TestPathsReachTheHandlerUncleaned(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Path", r.URL.EscapedPath())
	})
	base, client := start(t, httpserver.Config{Routes: map[string]http.Handler{"/.well-known/est": echo}})
	for path, want := range map[string]string{
		"/.well-known/est//cacerts":      "/.well-known/est//cacerts",
		"/.well-known/est/a%2Fb/cacerts": "/.well-known/est/a%2Fb/cacerts",
		"/.well-known/est/./cacerts":     "/.well-known/est/./cacerts",
		"//.well-known/est/cacerts":      "",
		"/.well-known/establish":         "",
		"/":                              "",
	} {
		res := get(t, client, base+path)
		if got := res.Header.Get("Path"); got != want {
			t.Errorf("GET %s reached the handler as %q, want %q", path, got, want)
		}
		if want == "" && res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s status = %d, want 404", path, res.StatusCode)
		}
	}
}

func TestARequestBeyondTheLimitIsTurnedAwayWithRetryAfter(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-release
	})
	base, client := start(t, httpserver.Config{MaxInFlight: 1, Routes: map[string]http.Handler{"/slow": slow}})
	first := make(chan struct{})
	go func() {
		defer close(first)
		if res, err := client.Get(base + "/slow"); err == nil {
			res.Body.Close()
		}
	}()
	<-inside
	res := get(t, client, base+"/slow")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("second request: status %d, Retry-After %q; want 503 with seconds", res.StatusCode, res.Header.Get("Retry-After"))
	}
	close(release)
	<-first
}

func TestAClientCertificateIsAskedForAndNotRequired(t *testing.T) {
	seen := make(chan int, 2)
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- len(r.TLS.PeerCertificates) })
	base, client := start(t, httpserver.Config{Routes: map[string]http.Handler{"/x": h}})
	get(t, client, base+"/x")
	if n := <-seen; n != 0 {
		t.Errorf("without a certificate the handler saw %d", n)
	}
	// A root that the server has never heard of: the handshake succeeds.
	device := testpki.NewRoot(t, "Unknown Vendor").IDevID(t, "SN-1", "").TLS()
	transport := client.Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.Certificates = []tls.Certificate{device}
	get(t, &http.Client{Transport: transport}, base+"/x")
	if n := <-seen; n != 1 {
		t.Errorf("with an unknown vendor's certificate the handler saw %d, want 1", n)
	}
}
