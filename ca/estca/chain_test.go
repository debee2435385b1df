package estca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
	"github.com/briskest/briskest/voucher"
)

// level is one registrar of the chain, over TLS.
type level struct {
	t       *testing.T
	service *registrar.Service
	server  *httptest.Server
	down    atomic.Bool
	issuer  ca.Issuer
}

// chain is a device's registrar A, which asks B, which asks C, which signs.
type chain struct {
	t       *testing.T
	root    *testpki.Identity
	signer  *testpki.Identity // of C's answers to fullcmc
	a, b, c *level
	clock   atomic.Int64 // added to the time, in nanoseconds
}

func newChain(t *testing.T, change func(c *registrar.Settings)) *chain {
	t.Helper()
	h := &chain{t: t, root: testpki.NewRoot(t, "company root")}
	issuing := h.root.NewIntermediate(t, "company CA")
	h.signer = issuing.Registrar(t, "company registrar")
	documents := profile.Device()
	documents.Renewal.Window = "30d"
	device, err := profile.New(documents)
	if err != nil {
		t.Fatal(err)
	}
	registrars := profile.Registrar()
	registrars.Name, registrars.SAN.Required = "ra", false
	ra, err := profile.New(registrars)
	if err != nil {
		t.Fatal(err)
	}
	profiles := map[string]*profile.Profile{documents.Name: device, "ra": ra}
	signing, err := localca.New(localca.Config{
		Certificate: issuing.Certificate, Chain: []*x509.Certificate{h.root.Certificate}, Key: issuing.Key, Profiles: profiles, Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := func() *registrar.Settings {
		return &registrar.Settings{
			Version: "1",
			Labels: map[string]*registrar.Label{
				"": {Profile: policy.Profile(device), Basic: true, RA: true, Renewal: true}, "ra": {Profile: policy.Profile(ra), RA: true},
			},
			Limits: registrar.Limits{IssuerRetry: 50 * time.Millisecond, PollAfter: time.Second},
		}
	}
	top := settings()
	top.CMC = &registrar.CMC{Signer: &voucher.Signer{Key: h.signer.Key, Certificate: h.signer.Certificate, Chain: h.signer.Chain}}
	top.Labels[""].FullCMC = true
	if change != nil {
		change(top)
	}
	h.c = h.start(issuing, signing, top)
	h.b = h.start(issuing, h.asking(h.c, profiles), settings())
	h.a = h.start(issuing, h.asking(h.b, profiles), settings())
	return h
}

func (h *chain) now() time.Time { return time.Now().Add(time.Duration(h.clock.Load())) }

// start makes a level that is served over TLS.
func (h *chain) start(issuing *testpki.Identity, issuer ca.Issuer, settings *registrar.Settings) *level {
	t := h.t
	t.Helper()
	l := &level{t: t, issuer: issuer}
	var err error
	if l.service, err = registrar.New(registrar.Config{Store: storetest.NewMemory(), Issuer: issuer, Policy: policy.Decide, Settings: settings, Now: h.now}); err != nil {
		t.Fatal(err)
	}
	if err := l.service.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler := &est.Handler{Backend: l.service, Now: h.now}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.down.Load() {
			panic(http.ErrAbortHandler) // before anything is read or decided
		}
		handler.ServeHTTP(w, r)
	}))
	l.server.TLS = &tls.Config{Certificates: []tls.Certificate{issuing.Server(t, "EST").TLS()}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	t.Cleanup(l.service.Close)
	return l
}

// asking makes an issuer that asks upper, as an RA that upper certified.
func (h *chain) asking(upper *level, profiles map[string]*profile.Profile) *estca.CA {
	h.t.Helper()
	key := testpki.NewKey(h.t)
	csr, err := x509.ParseCertificateRequest(testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "registrar below " + upper.server.Listener.Addr().String()}}, key))
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := upper.service.IssueCertificate(h.t.Context(), &registrar.IssueRequest{Actor: "test", Label: "ra", CSR: csr})
	if err != nil {
		h.t.Fatal(err)
	}
	server := estca.Server{
		URL: upper.server.URL, Anchors: []*x509.Certificate{h.root.Certificate},
		Certificate: &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, Now: h.now,
	}
	known, err := estca.Learn(h.t.Context(), &server, "", server.Anchors)
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := estca.New(estca.Config{Server: server, Chain: known.Chain, Profiles: profiles, Labels: map[string]string{"ra": "ra"}, FullCMC: true})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// device is a client of A.
func (h *chain) device() *est.Client {
	h.t.Helper()
	secret, err := h.a.service.AddCredential(h.t.Context(), &registrar.NewCredential{Actor: "test", User: "factory", Group: true})
	if err != nil {
		h.t.Fatal(err)
	}
	return &est.Client{URL: h.a.server.URL, Roots: h.root.Pool(), User: "factory", Password: secret, Now: h.now}
}

func (h *chain) csr(key *ecdsa.PrivateKey, name string) []byte {
	h.t.Helper()
	return testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
}

// count wants that many of a device's certificates at each level, the same ones.
func (h *chain) count(name string, want int) {
	h.t.Helper()
	for which, l := range map[string]*level{"A": h.a, "B": h.b, "C": h.c} {
		rows, err := l.service.ListCertificates(h.t.Context(), &registrar.CertificateQuery{})
		if err != nil {
			h.t.Fatal(err)
		}
		n := 0
		for _, row := range rows {
			if row.Raw == nil {
				continue
			}
			if cert, err := x509.ParseCertificate(row.Raw); err == nil && cert.Subject.CommonName == name {
				n++
			}
		}
		if n != want {
			h.t.Errorf("%s has %d certificates of %s on record, want %d", which, n, name, want)
		}
	}
}

// patiently asks again as the server says.
func (h *chain) patiently(client *est.Client, csr []byte) {
	h.t.Helper()
	_, err := client.Request(h.t.Context(), &est.CertRequest{CSR: func([]byte) ([]byte, error) { return csr, nil }, MaxWait: time.Minute})
	if err != nil {
		h.t.Fatalf("enroll: %v", err)
	}
}

func TestTwoRegistrarsAboveOneAnotherEnrollAndRenew(t *testing.T) {
	h := newChain(t, nil)
	client := h.device()
	key := newKey(t)
	first, err := client.SimpleEnroll(t.Context(), h.csr(key, "sensor-1"))
	if err != nil {
		t.Fatalf("SimpleEnroll: %v", err)
	}
	if _, err := first.Verify(x509.VerifyOptions{Roots: h.root.Pool(), Intermediates: func() *x509.CertPool {
		certs, err := client.CACerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		for _, cert := range certs {
			pool.AddCert(cert)
		}
		return pool
	}(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the certificate does not verify with A's cacerts: %v", err)
	}
	again, err := client.SimpleEnroll(t.Context(), h.csr(key, "sensor-1"))
	if err != nil || !again.Equal(first) {
		t.Errorf("asked again, it is another certificate: %v", err)
	}
	h.count("sensor-1", 1)
	// With the same key, within the renewal window of all three.
	h.clock.Store(int64(first.NotAfter.Add(-20 * 24 * time.Hour).Sub(time.Now())))
	renewing := &est.Client{
		URL: h.a.server.URL, Roots: h.root.Pool(), Now: h.now,
		Certificate: &tls.Certificate{Certificate: [][]byte{first.Raw}, PrivateKey: key},
	}
	second, err := renewing.SimpleReenroll(t.Context(), h.csr(key, "sensor-1"))
	if err != nil {
		t.Fatalf("SimpleReenroll: %v", err)
	}
	if second.Equal(first) || !second.NotAfter.After(first.NotAfter) {
		t.Error("the renewal gave the old certificate")
	}
	h.count("sensor-1", 2)
}

func TestWhatWaitsAtTheTopComesDownWhenItIsApproved(t *testing.T) {
	h := newChain(t, func(c *registrar.Settings) { c.Labels[""].Approval = true })
	client, csr := h.device(), h.csr(newKey(t), "sensor-1")
	if _, err := client.SimpleEnroll(t.Context(), csr); !errors.Is(err, est.ErrPending) {
		t.Fatalf("SimpleEnroll = %v, want 202", err)
	}
	rows, err := h.c.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d requests wait at C, %v", len(rows), err)
	}
	if _, err := h.c.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: rows[0].ID}); err != nil {
		t.Fatal(err)
	}
	h.patiently(client, csr)
	h.count("sensor-1", 1)
}

func TestACADownAtTheTopIsA503WithATimeAndThenOneCertificate(t *testing.T) {
	h := newChain(t, nil)
	client, csr := h.device(), h.csr(newKey(t), "sensor-1")
	h.c.down.Store(true)
	_, err := client.SimpleEnroll(t.Context(), csr)
	var status *est.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable || status.RetryAfter <= 0 {
		t.Fatalf("SimpleEnroll = %v, want 503 with Retry-After", err)
	}
	h.count("sensor-1", 0)
	h.c.down.Store(false)
	h.patiently(client, csr)
	h.count("sensor-1", 1)
}

// RFC 5272, Section 6.11: what B's issuer is told to revoke is revoked at C.
func TestARevocationIsToldByFullCMC(t *testing.T) {
	h := newChain(t, nil)
	cert, err := h.device().SimpleEnroll(t.Context(), h.csr(newKey(t), "sensor-1"))
	if err != nil {
		t.Fatal(err)
	}
	revoker, ok := h.b.issuer.(ca.Revoker)
	if !ok {
		t.Fatal("the issuer is no Revoker")
	}
	for range 2 { // telling it again is no error
		if err := revoker.Revoke(t.Context(), &ca.Revoked{Raw: cert.Raw, At: time.Now(), Reason: 1}); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
	}
	rows, err := h.c.service.ListCertificates(t.Context(), &registrar.CertificateQuery{Status: registrar.Revoked})
	if err != nil || len(rows) != 1 || !bytes.Equal(rows[0].Raw, cert.Raw) || rows[0].RevokeReason != 1 {
		t.Errorf("%d certificates are revoked at C, %v, want the device's for key compromise", len(rows), err)
	}
	other := h.root.NewIntermediate(t, "another CA").Client(t, "sensor-1")
	if err := revoker.Revoke(t.Context(), &ca.Revoked{Raw: other.Certificate.Raw, Reason: 1}); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Revoke of a certificate that C does not know = %v, want ErrRejected", err)
	}
	h.c.down.Store(true)
	if err := revoker.Revoke(t.Context(), &ca.Revoked{Raw: cert.Raw, Reason: 1}); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Revoke while C is down = %v, want ErrUnavailable", err)
	}
}
