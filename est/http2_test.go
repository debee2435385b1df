package est_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/est"
)

// est-clients: curl speaks HTTP/2, and version 7.88 stumbles over refusals that leave the body unread.
func TestHTTP2ClientsGetTheSameAnswers(t *testing.T) {
	s := newSite(t)
	server := httptest.NewUnstartedServer(s.handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.CA.Server(t, "h2").TLS()}}
	server.StartTLS()
	defer server.Close()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Root()}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	body := lines(b64(goodCSR(t, "device")), 64, "\n")
	for _, c := range []struct {
		path, contentType, password, body string
		status                            int
	}{
		{"simpleenroll", "application/pkcs10", "secret", body, 200},
		{"simpleenroll", "application/pkcs10", "wrong", body, 401},
		{"simpleenroll", "text/plain", "secret", body, 415},
		{"cacerts", "application/pkcs10", "secret", strings.Repeat("x", 100<<10), 405},
		{"simpleenroll/", "application/pkcs10", "secret", body, 404},
		{"simpleenroll", "application/pkcs10", "secret", strings.Repeat("A", 200<<10), 413},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/.well-known/est/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.contentType)
		r.SetBasicAuth("device", c.password)
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s with %s: %v", c.path, c.contentType, err)
			continue
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.ProtoMajor != 2 || res.StatusCode != c.status || res.ContentLength != int64(len(text)) {
			t.Errorf("%s with %s: %s %d, %d of %d bytes, %v; want %d", c.path, c.contentType, res.Proto, res.StatusCode, len(text), res.ContentLength, err, c.status)
		}
		if c.status == 401 && res.Header.Get("Www-Authenticate") == "" {
			t.Error("401 without a challenge over HTTP/2")
		}
	}
}

func TestManyClientsAtOnceEachGetTheirOwnCertificate(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for range 5 {
				name := string(rune('a' + i))
				cert, err := c.SimpleEnroll(t.Context(), goodCSR(t, name))
				if err != nil || cert.Subject.CommonName != name {
					t.Errorf("SimpleEnroll(%s): %v", name, err)
				}
			}
		})
	}
	clients.Wait()
	if n := len(s.Issued()); n != 40 {
		t.Errorf("%d certificates were issued, want 40", n)
	}
}

// RFC 7030, Section 3.3.2: what the peer shows in the handshake is all that counts.
func TestEachRequestCarriesItsOwnPeer(t *testing.T) {
	s := newSite(t)
	id := s.CA.Client(t, "device-9")
	for what, cfg := range map[string]*tls.Config{
		"a certificate": {Certificates: []tls.Certificate{id.TLS()}}, "none": {},
	} {
		s.rawTLS(t, cfg, get("/.well-known/est/none"))
		refusals := s.TakeRefusals()
		if len(refusals) != 1 {
			t.Fatalf("observed %v", refusals)
		}
		peer := refusals[0].Request.Peer
		if got := len(peer.Certificates) > 0 && peer.Certificates[0].Equal(id.Certificate); got != (what == "a certificate") || peer.TLS == nil {
			t.Errorf("with %s: %d certificates", what, len(peer.Certificates))
		}
		if !peer.Address.Addr().IsLoopback() || peer.User != "" || refusals[0].Request.Operation != est.Operation("") {
			t.Errorf("peer %v, operation %q", peer.LogValue(), refusals[0].Request.Operation)
		}
	}
}
