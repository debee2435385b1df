// Package brskitest is a manufacturer and a domain that work, small and in
// memory, on 127.0.0.1: for tests of pledges, registrars and MASAs. Knobs make
// them slow, wrong or hostile. Nothing here is used outside tests.
package brskitest

import (
	"crypto/tls"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// World is a manufacturer with its MASA and a domain with its registrar, both
// serving. Everything ends with the test.
type World struct {
	Vendor    *testpki.Identity // root CA of IDevIDs and voucher signers
	Domain    *testpki.Identity // root CA of the domain; what the MASA pins
	Issuing   *testpki.Identity // CA below Domain, of the registrar and of LDevIDs
	Identity  *testpki.Identity // the registrar's, TLS and artifacts
	Registrar *Registrar
	MASA      *MASA

	URL        string // https://127.0.0.1:PORT of the registrar
	MASAURL    string // https://127.0.0.1:PORT/.well-known/brski
	MASAServer *testpki.Identity
	T          testing.TB // that it ends with

	mu        sync.Mutex
	intercept func(w http.ResponseWriter, r *http.Request) bool // guarded by mu
}

// New starts a World.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{T: t, Vendor: testpki.NewRoot(t, "Example Devices CA"), Domain: testpki.NewRoot(t, "Domain Root")}
	w.MASAServer = w.Vendor.Server(t, "masa")
	w.MASA = newMASA(t, w.Vendor)
	w.MASAURL = serve(t, w.MASAServer, &brski.MASAHandler{MASA: w.MASA, Formats: Formats()}) + brski.PathPrefix
	w.serve(t, "Domain")
	return w
}

// AnotherDomain starts another domain for devices of the same manufacturer, which has
// one MASA for all.
func (w *World) AnotherDomain(t testing.TB, name string) *World {
	t.Helper()
	other := &World{T: t, Vendor: w.Vendor, MASA: w.MASA, MASAURL: w.MASAURL, MASAServer: w.MASAServer, Domain: testpki.NewRoot(t, name+" Root")}
	other.serve(t, name)
	return other
}

func (w *World) serve(t testing.TB, name string) {
	t.Helper()
	w.Issuing = w.Domain.NewIntermediate(t, name+" Issuing CA")
	w.Identity = w.Issuing.Registrar(t, "registrar")
	client := &brski.MASAClient{URL: w.MASAURL, Roots: w.Vendor.Pool()}
	t.Cleanup(client.CloseIdleConnections)
	w.Registrar = newRegistrar(t, w, client)
	w.URL = serve(t, w.Identity, w.handler())
}

// Formats are the encodings that are spoken: CMS.
func Formats() []voucher.Format { return []voucher.Format{vouchercms.Format{}} }

// IDevID makes a device.
func (w *World) IDevID(t testing.TB, serialNumber string) *testpki.Identity {
	t.Helper()
	return w.Vendor.IDevID(t, serialNumber, w.MASAURL)
}

// Intercept lets f answer the registrar's requests before their handlers do.
// It returns whether it has answered. Nil ends that.
func (w *World) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intercept = f
}

// Handler is what the registrar serves, for servers with another certificate.
func (w *World) Handler() http.Handler { return w.handler() }

func (w *World) handler() http.Handler {
	estHandler := &est.Handler{Backend: estBackend{w.Registrar}}
	brskiHandler := &brski.RegistrarHandler{Backend: w.Registrar, Formats: Formats()}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		intercept := w.intercept
		w.mu.Unlock()
		if intercept != nil && intercept(rw, r) {
			return
		}
		if strings.HasPrefix(r.URL.EscapedPath(), brski.PathPrefix) {
			brskiHandler.ServeHTTP(rw, r)
			return
		}
		estHandler.ServeHTTP(rw, r)
	})
}

// Serve serves h on 127.0.0.1 over TLS as identity until the test ends, asks
// for client certificates without verifying them, and returns "https://127.0.0.1:PORT".
func Serve(t testing.TB, identity *testpki.Identity, h http.Handler) string {
	t.Helper()
	return serve(t, identity, h)
}

func serve(t testing.TB, identity *testpki.Identity, h http.Handler) string {
	t.Helper()
	s := newServer(identity, h)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func newServer(identity *testpki.Identity, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{identity.TLS()},
		ClientAuth:   tls.RequestClientCert,
	}
	s.Config.ErrorLog = log.New(discard{}, "", 0) // handshakes that clients break off on purpose
	return s
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
