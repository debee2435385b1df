package brskitest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Cloud is a cloud registrar on 127.0.0.1 that does as it is told
// (draft-ietf-anima-brski-cloud-20). Its methods may be called concurrently.
type Cloud struct {
	URL string // https://NAME:PORT; Dial leads there

	t      testing.TB
	world  *World
	signer *testpki.Identity
	server *httptest.Server

	mu       sync.Mutex
	answer   func(http.ResponseWriter, *voucher.Request) // to requestvoucher; guarded by mu, as all below
	requests []*voucher.Request
	paths    []string // of all requests
	names    []string // of ClientHellos
	statuses []brski.Status
}

// NewCloud serves as id, under a name that id should be for, until the test
// ends. Until it is told otherwise it answers 404, and asks for a client
// certificate.
func NewCloud(t testing.TB, w *World, id *testpki.Identity, name string, change ...func(*tls.Config)) *Cloud {
	t.Helper()
	c := &Cloud{t: t, world: w, signer: w.Vendor.Issue(t, &x509.Certificate{}, testpki.NewKey(t))}
	c.server = newServer(id, http.HandlerFunc(c.serve))
	c.server.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.names = append(c.names, hello.ServerName)
		return nil, nil
	}
	c.server.TLS.ClientAuth = tls.RequireAnyClientCert
	for _, f := range change {
		f(c.server.TLS)
	}
	c.answer = c.Status(http.StatusNotFound, nil)
	c.server.StartTLS()
	t.Cleanup(c.server.Close)
	c.URL = Named(t, c.server.URL, name)
	return c
}

// Answer makes f answer voucher-requests from now on.
func (c *Cloud) Answer(f func(http.ResponseWriter, *voucher.Request)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// Status answers with a status, and headers.
func (c *Cloud) Status(status int, header http.Header) func(http.ResponseWriter, *voucher.Request) {
	return func(rw http.ResponseWriter, _ *voucher.Request) {
		for name, values := range header {
			rw.Header()[name] = values
		}
		http.Error(rw, http.StatusText(status), status)
	}
}

// Redirect answers 307 to where.
func (c *Cloud) Redirect(where string) func(http.ResponseWriter, *voucher.Request) {
	return c.Status(http.StatusTemporaryRedirect, http.Header{"Location": {where}})
}

// Voucher answers with a voucher of the manufacturer's that pins pin and, unless
// it is empty, names the EST server.
func (c *Cloud) Voucher(pin *x509.Certificate, estDomain string) func(http.ResponseWriter, *voucher.Request) {
	return func(rw http.ResponseWriter, r *voucher.Request) {
		raw, err := vouchercms.Format{}.SignVoucher(context.Background(), &voucher.Voucher{
			Assertion: voucher.Verified, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: r.SerialNumber,
			Nonce: r.Nonce, PinnedDomainCert: pin.Raw, ESTDomain: estDomain,
		}, &voucher.Signer{Key: c.signer.Key, Certificate: c.signer.Certificate})
		if err != nil {
			c.t.Errorf("brskitest: cloud voucher: %v", err)
		}
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		_, _ = rw.Write(raw)
	}
}

// Requests returns the voucher-requests that came, in order.
func (c *Cloud) Requests() []*voucher.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Paths returns the paths of all requests that came, in order.
func (c *Cloud) Paths() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.paths)
}

// ServerNames returns the server_name of each ClientHello, in order; empty for none.
func (c *Cloud) ServerNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.names)
}

// VoucherStatuses returns the bodies of the voucher_status posts, in order.
func (c *Cloud) VoucherStatuses() []brski.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.statuses)
}

func (c *Cloud) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	c.mu.Lock()
	c.paths = append(c.paths, r.URL.Path)
	answer := c.answer
	c.mu.Unlock()
	switch r.URL.Path {
	case brski.PathPrefix + "/requestvoucher":
		request, _, err := vouchercms.Format{}.OpenRequest(body)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		c.requests = append(c.requests, request)
		c.mu.Unlock()
		answer(rw, request)
	case brski.PathPrefix + "/" + string(brski.OpVoucherStatus):
		status, err := brski.ParseStatus(body)
		if err != nil {
			c.t.Errorf("brskitest: voucher_status: %v", err)
			return
		}
		c.mu.Lock()
		c.statuses = append(c.statuses, *status)
		c.mu.Unlock()
	default:
		http.NotFound(rw, r)
	}
}

// ESTServer is an EST server that knows nothing of BRSKI: it enrolls as w's
// registrar does, with a certificate of its own.
func ESTServer(t testing.TB, w *World, id *testpki.Identity, name string, seen func(path string)) string {
	t.Helper()
	h := &est.Handler{Backend: estBackend{w.Registrar}}
	return Named(t, serve(t, id, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen(r.URL.Path)
		if strings.HasPrefix(r.URL.Path, est.PathPrefix) {
			h.ServeHTTP(rw, r)
			return
		}
		http.NotFound(rw, r)
	})), name)
}

// Named replaces the host in a server's URL by a name that Dial leads there.
func Named(t testing.TB, serverURL, name string) string {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatalf("brskitest: %v", err)
	}
	return "https://" + net.JoinHostPort(name, u.Port())
}

// Dial connects to a port of 127.0.0.1, whatever name or address is before it.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}
