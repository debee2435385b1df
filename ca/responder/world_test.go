package responder_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/responder"
	"golang.org/x/crypto/ocsp"
)

func start() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

// authority is a CA with a record of its own.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start().AddDate(-1, 0, 0), NotAfter: start().AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &authority{key, issue(t, template, template, key.Public(), key)}
}

func issue(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) name() string { return hex.EncodeToString(a.cert.SubjectKeyId) }

// device issues a certificate with that serial number.
func (a *authority) device(t testing.TB, serial int64) *x509.Certificate {
	t.Helper()
	return issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "device"}, NotBefore: start().Add(-time.Hour), NotAfter: start().AddDate(1, 0, 0),
	}, a.cert, a.key.Public(), a.key)
}

// house is a responder with its records; the clock is now.
type house struct {
	t         testing.TB
	ca        *authority
	responder *responder.Responder

	mu        sync.Mutex
	at        time.Time
	statuses  map[string]responder.Status // by serial number
	lists     map[responder.Scope]*responder.List
	asked     int // Status
	certified int
	delegate  func(template *x509.Certificate) (parent *authority) // changes what Certify issues
	broken    error
	blocked   chan struct{} // Certify waits for it
}

var nocheck = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}

func newHouse(t testing.TB, change ...func(c *responder.Config)) *house {
	t.Helper()
	h := &house{t: t, ca: newAuthority(t, "issuing CA"), at: start(), statuses: map[string]responder.Status{}, lists: map[responder.Scope]*responder.List{}}
	c := responder.Config{Records: h, Now: h.now}
	for _, f := range change {
		f(&c)
	}
	h.responder = responder.New(c)
	t.Cleanup(h.responder.Close)
	h.serve(h.ca)
	return h
}

func (h *house) serve(all ...*authority) {
	h.t.Helper()
	var list []*responder.Authority
	for _, a := range all {
		list = append(list, &responder.Authority{Name: a.name(), Certificate: a.cert})
	}
	if err := h.responder.Serve(list, nil); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func (h *house) set(serial int64, s responder.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses[string(big.NewInt(serial).Bytes())] = s
}

func (h *house) Status(_ context.Context, _ string, serial []byte) (responder.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return h.statuses[string(serial)], h.broken
}

func (h *house) List(_ context.Context, scope responder.Scope) (*responder.List, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return nil, h.broken
	}
	if h.lists[scope] == nil {
		return nil, responder.ErrUnknown
	}
	return h.lists[scope], nil
}

func (h *house) Certify(_ context.Context, name string, key crypto.PublicKey) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return nil, h.broken
	}
	if name != h.ca.name() {
		return nil, errors.New("another authority")
	}
	if h.blocked != nil {
		blocked := h.blocked
		h.mu.Unlock()
		<-blocked
		h.mu.Lock()
	}
	h.certified++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1000 + int64(h.certified)), Subject: pkix.Name{CommonName: "OCSP responder"},
		NotBefore: h.at.Add(-time.Hour), NotAfter: h.at.AddDate(0, 0, 30), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, ExtraExtensions: []pkix.Extension{nocheck},
	}
	by := h.ca
	if h.delegate != nil {
		by = h.delegate(template)
	}
	return issue(h.t, template, by.cert, key, by.key).Raw, nil
}

// post sends a request and returns what came.
func (h *house) post(body []byte) *http.Response {
	r := httptest.NewRequest(http.MethodPost, responder.OCSPPath, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/ocsp-request")
	return h.do(r)
}

func (h *house) do(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.responder.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// request asks about the serial number, by SHA-1.
func (h *house) request(serial int64) []byte { return h.requestBy(crypto.SHA1, serial) }

func (h *house) requestBy(hash crypto.Hash, serial int64) []byte {
	h.t.Helper()
	der, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: big.NewInt(serial)}, h.ca.cert, &ocsp.RequestOptions{Hash: hash})
	if err != nil {
		h.t.Fatal(err)
	}
	return der
}

// ask posts a request about a certificate, and has x/crypto/ocsp check the answer.
func (h *house) ask(cert *x509.Certificate) *ocsp.Response {
	h.t.Helper()
	answer := h.post(h.request(cert.SerialNumber.Int64()))
	r, err := ocsp.ParseResponseForCert(body(h.t, answer), cert, h.ca.cert)
	if err != nil {
		h.t.Fatalf("answer about %v: %v", cert.SerialNumber, err)
	}
	return r
}

// errorStatus is that of an unsigned answer, or -1.
func errorStatus(data []byte) ocsp.ResponseStatus {
	_, err := ocsp.ParseResponse(data, nil)
	var e ocsp.ResponseError
	if errors.As(err, &e) {
		return e.Status
	}
	return -1
}
