package brski_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
)

// BRSKI-8995-ERRATA-6642-01: the name of the MASA is in the ClientHello; and
// the versions that it offers begin with TLS 1.2.
func TestMASAClientSendsTheServerNameAndTLS12OrNewer(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	var mu sync.Mutex
	var hello *tls.ClientHelloInfo
	s := httptest.NewUnstartedServer(answerWith(200, cmsType, "voucher"))
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{root.Server(t, "masa").TLS()},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			mu.Lock()
			defer mu.Unlock()
			hello = h
			return nil, nil //nolint:nilnil // the server's own
		},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &brski.MASAClient{URL: "https://localhost:" + port + brski.PathPrefix, Roots: root.Pool()}
	t.Cleanup(c.CloseIdleConnections)
	if _, err := c.RequestVoucher(t.Context(), ask()); err != nil {
		t.Fatalf("RequestVoucher: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if hello.ServerName != "localhost" {
		t.Errorf("server name = %q, want localhost", hello.ServerName)
	}
	if least := slices.Min(hello.SupportedVersions); least < tls.VersionTLS12 {
		t.Errorf("versions offered = %#x", hello.SupportedVersions)
	}
}

// BRSKI-8995-2.3.2-01: nothing is ever sent in plaintext.
func TestMASAClientNeverSpeaksWithoutTLS(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
	}))
	t.Cleanup(plain.Close)
	for _, scheme := range []string{"http://", "ftp://", "https://", "HTTP://", ""} {
		c := &brski.MASAClient{URL: scheme + strings.TrimPrefix(plain.URL, "http://")}
		if _, err := c.RequestVoucher(t.Context(), ask()); err == nil {
			t.Errorf("%s was answered", c.URL)
		}
		if _, err := c.RequestAuditLog(t.Context(), ask()); err == nil {
			t.Errorf("%s gave a log", c.URL)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked > 0 {
		t.Errorf("%d requests arrived in plaintext", asked)
	}
}

// RFC 8995, Section 5.4: voucher and audit-log of many devices come over one connection.
func TestMASAClientKeepsItsConnection(t *testing.T) {
	var mu sync.Mutex
	peers := make(map[string]int)
	c := fakeMASA(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers[r.RemoteAddr]++
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/requestauditlog") {
			answerWith(200, "application/json", `{"version":1,"events":[]}`)(w, r)
			return
		}
		answerWith(200, cmsType, "voucher")(w, r)
	})
	for range 3 {
		_, err := c.RequestVoucher(t.Context(), ask())
		_, logErr := c.RequestAuditLog(t.Context(), ask())
		if err := errors.Join(err, logErr); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(peers) != 1 {
		t.Errorf("%d connections for 6 requests, want 1", len(peers))
	}
}

// Devices that come at once are asked for over connections that stay open for the next.
func TestMASAClientKeepsAConnectionForEachExchangeOfACrowd(t *testing.T) {
	const crowd = 48
	root := testpki.NewRoot(t, "root")
	var together sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		answerWith(200, cmsType, "voucher").ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{root.Server(t, "masa").TLS()}}
	var opened atomic.Int64
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := &brski.MASAClient{URL: s.URL + brski.PathPrefix, Roots: root.Pool()}
	t.Cleanup(c.CloseIdleConnections)
	for range 3 {
		together.Add(crowd)
		var wg sync.WaitGroup
		for range crowd {
			wg.Go(func() {
				if _, err := c.RequestVoucher(t.Context(), ask()); err != nil {
					t.Errorf("RequestVoucher: %v", err)
				}
			})
		}
		wg.Wait()
	}
	if n := opened.Load(); n != crowd {
		t.Errorf("%d connections for three times %d requests", n, crowd)
	}
}
