package est_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// network is a set of servers with names, each on an address of its own on 127.0.0.1.
type network struct {
	mu        sync.Mutex
	addresses map[string]string // by "name:port"; guarded by mu
	dialed    []string          // guarded by mu
}

// serve starts a server for https://name with the certificates of id. It notes each request and hands it to h.
func (n *network) serve(t testing.TB, name string, id *testpki.Identity, h http.Handler, change ...func(*tls.Config)) *server {
	t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{id.TLS()}, ClientAuth: tls.RequestClientCert}
	for _, f := range change {
		f(cfg)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: "https://" + name}
	hs := &http.Server{ErrorLog: discardLog(), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		h.ServeHTTP(w, r)
	}), ConnState: func(_ net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if state == http.StateNew {
			s.connections++
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); _ = hs.Serve(l) }()
	t.Cleanup(func() { _ = hs.Close(); <-done })
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addresses == nil {
		n.addresses = map[string]string{}
	}
	n.addresses[name+":443"] = l.Addr().String()
	return s
}

// dial is for est.Client.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	to := n.addresses[address]
	n.dialed = append(n.dialed, address)
	n.mu.Unlock()
	if to == "" {
		return nil, fmt.Errorf("nobody is at %s", address)
	}
	return new(net.Dialer).DialContext(ctx, kind, to)
}

// client asks s and trusts roots explicitly.
func (n *network) client(t testing.TB, s *server, roots *x509.CertPool) *est.Client {
	t.Helper()
	c := &est.Client{URL: s.url, Roots: roots, Dial: n.dial}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// server notes what it is asked.
type server struct {
	url string

	mu          sync.Mutex
	requests    []string            // method, path and who authenticated how; guarded by mu
	peers       []*x509.Certificate // the client's leaf, nil for none; guarded by mu
	connections int                 // guarded by mu
}

func (s *server) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := r.Method + " " + r.URL.Path
	if r.Header.Get("Authorization") != "" {
		line += " with credentials"
	}
	s.requests = append(s.requests, line)
	var leaf *x509.Certificate
	if len(r.TLS.PeerCertificates) > 0 {
		leaf = r.TLS.PeerCertificates[0]
	}
	s.peers = append(s.peers, leaf)
}

// asked returns the requests since the last call.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

// connected returns how many connections were made so far.
func (s *server) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// named issues a TLS server's certificate for names below ca.
func named(t testing.TB, ca *testpki.Identity, names ...string) *testpki.Identity {
	t.Helper()
	return ca.Issue(t, &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, testpki.NewKey(t))
}

func certificateFor(commonName string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: commonName}}
}
