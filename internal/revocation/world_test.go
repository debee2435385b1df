package revocation_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
)

// Where certificates say to ask; both hosts are at public addresses as far as the Fetcher sees.
const (
	listURL = "http://crl.example.com/ca.crl"
	ocspURL = "http://ocsp.example.com/"
)

// world is a CA, what its servers say, and a clock.
type world struct {
	t      testing.TB
	root   *testpki.Identity
	issuer *testpki.Identity

	mu      sync.Mutex
	now     time.Time
	answers map[string]http.HandlerFunc // by URL; guarded by mu
	asked   map[string]int              // guarded by mu
	where   map[string]string           // addresses by host; guarded by mu
	dialed  []string                    // guarded by mu

	server *httptest.Server
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root := testpki.NewRoot(t, "Example Devices Root")
	w := &world{
		t: t, root: root, issuer: root.NewIntermediate(t, "Example Devices Issuing"), now: time.Now().Truncate(time.Second),
		answers: map[string]http.HandlerFunc{}, asked: map[string]int{},
		where: map[string]string{"crl.example.com": "8.8.4.4", "ocsp.example.com": "2606:4700::1111"},
	}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	url := "http://" + r.Host + r.URL.Path
	w.asked[url]++
	answer := w.answers[url]
	w.mu.Unlock()
	if answer == nil {
		http.NotFound(out, r)
		return
	}
	answer(out, r)
}

func (w *world) says(url string, answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[url] = answer
}

func (w *world) timesAsked(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[url]
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// fetcher connects to the world's server whatever the address.
func (w *world) fetcher(change func(*revocation.FetchConfig)) *revocation.Fetcher {
	c := revocation.FetchConfig{
		Now: w.time,
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			address, ok := w.where[strings.ToLower(host)]
			if !ok {
				return nil, &net.DNSError{Err: "no such host", Name: host}
			}
			return []netip.Addr{netip.MustParseAddr(address)}, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			w.mu.Lock()
			w.dialed = append(w.dialed, address)
			w.mu.Unlock()
			var d net.Dialer
			return d.DialContext(ctx, network, w.server.Listener.Addr().String())
		},
	}
	if change != nil {
		change(&c)
	}
	f := revocation.NewFetcher(c)
	w.t.Cleanup(f.Close)
	return f
}

func (w *world) checker(c revocation.Config) *revocation.Checker {
	w.t.Helper()
	k, err := revocation.New(c)
	if err != nil {
		w.t.Fatalf("New: %v", err)
	}
	return k
}

// fetching is a Checker that fetches and has the given mode.
func (w *world) fetching(mode revocation.Mode) *revocation.Checker {
	w.t.Helper()
	return w.checker(revocation.Config{Mode: mode, Fetcher: w.fetcher(nil)})
}

// device issues a certificate that names the given places.
func (w *world) device(points, responders []string, extensions ...pkix.Extension) []*x509.Certificate {
	w.t.Helper()
	id := w.issuer.Issue(w.t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "SN-1"}, CRLDistributionPoints: points, OCSPServer: responders, ExtraExtensions: extensions,
	}, testpki.NewKey(w.t))
	return []*x509.Certificate{id.Certificate, w.issuer.Certificate, w.root.Certificate}
}

// list makes a list of the issuer, current for a day, with the given serial numbers.
func (w *world) list(revoked ...*big.Int) *x509.RevocationList {
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: w.time().Add(-time.Minute), NextUpdate: w.time().Add(24 * time.Hour)}
	for _, serial := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: w.time().Add(-time.Hour), ReasonCode: 1,
		})
	}
	return l
}

func (w *world) sign(l *x509.RevocationList, by *testpki.Identity) []byte {
	w.t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, l, by.Certificate, by.Key)
	if err != nil {
		w.t.Fatalf("CreateRevocationList: %v", err)
	}
	return der
}

// parsed is the list as one at hand.
func (w *world) parsed(l *x509.RevocationList, by *testpki.Identity) []*revocation.List {
	w.t.Helper()
	lists, err := revocation.ParseLists("vendor.crl", w.sign(l, by))
	if err != nil {
		w.t.Fatalf("ParseLists: %v", err)
	}
	return lists
}

// serves has the server give these bytes.
func serves(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
}

func critical(t testing.TB, oid asn1.ObjectIdentifier, value any) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oid, Critical: true, Value: der}
}
