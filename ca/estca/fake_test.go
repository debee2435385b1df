package estca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
)

// fake is another EST server: an est.Handler whose backend signs with a foreign
// CA, takes requests of one RA, and fails as it is told.
type fake struct {
	*catest.Foreign
	t      testing.TB
	server *httptest.Server
	ra     tls.Certificate
	// anew signs each request, however often it came.
	anew bool
	// cacerts is what it distributes; nil: the chain.
	cacerts []*x509.Certificate
	// refuse is what each enrollment is answered with; nil: a certificate.
	refuse *est.Error
	// extra goes into each answer, before the certificate.
	extra []*x509.Certificate
	// signs makes certificates; nil: the foreign CA.
	signs func(w *catest.Wish) []byte

	mu    sync.Mutex
	done  map[[32]byte][]byte    // certificates by key and names; guarded by mu
	until map[[32]byte]time.Time // ends that its profile has for keys; guarded by mu
	csrs  [][]byte               // as they came; guarded by mu
	at    []string               // labels that were asked; guarded by mu
}

var _ est.Backend = (*fake)(nil)

// lifetime is what its profile gives.
const lifetime = 300 * 24 * time.Hour

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{Foreign: catest.NewForeign(t), t: t, done: make(map[[32]byte][]byte), until: make(map[[32]byte]time.Time)}
	f.ra = f.certify("registrar A", asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28})
	f.server = httptest.NewUnstartedServer(f.unkind(&est.Handler{Backend: f}))
	f.server.TLS = &tls.Config{Certificates: []tls.Certificate{f.certify("EST server", nil)}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
}

// certify issues a certificate for TLS, with a further purpose if it is not nil.
func (f *fake) certify(name string, purpose asn1.ObjectIdentifier) tls.Certificate {
	f.t.Helper()
	key := newKey(f.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if purpose != nil {
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{purpose}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.Issuing, key.Public(), f.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, f.Issuing.Raw}, PrivateKey: key}
}

// config is one that fits the fake.
func (f *fake) config() estca.Config {
	return estca.Config{
		Server: estca.Server{URL: f.server.URL, Anchors: []*x509.Certificate{f.Root}, Certificate: &f.ra, Dial: f.dial},
		Chain:  f.Chain(), Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(f.t)},
	}
}

func (f *fake) issuer() *estca.CA {
	f.t.Helper()
	return f.issuerAs(f.config())
}

func (f *fake) issuerAs(config estca.Config) *estca.CA {
	f.t.Helper()
	c, err := estca.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// dial reaches nobody while it is down.
func (f *fake) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.Fault() == catest.Down {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Fail implements catest.Upstream.
func (f *fake) Fail(fault catest.Fault) {
	f.Foreign.Fail(fault)
	if fault == catest.Down {
		f.server.CloseClientConnections()
	}
}

// CACerts implements est.Backend.
func (f *fake) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	if f.cacerts != nil {
		return f.cacerts, nil
	}
	return f.Chain(), nil
}

// Enroll implements est.Backend. The link of a request is the RA's affair, which
// made it on another connection (RFC 7030, Section 3.7).
func (f *fake) Enroll(_ context.Context, r *est.EnrollRequest) ([]byte, error) {
	f.mu.Lock()
	f.csrs, f.at = append(f.csrs, r.CSR.Raw), append(f.at, r.Label)
	f.mu.Unlock()
	if err := f.admit(r.Peer); err != nil {
		return nil, err
	}
	if f.refuse != nil {
		return nil, f.refuse
	}
	switch f.Fault() {
	case catest.Refuses:
		return nil, &est.Error{Status: http.StatusBadRequest, Reason: "wednesday", Message: "Not on a Wednesday."}
	case catest.Overloaded:
		return nil, &est.Error{Status: http.StatusServiceUnavailable, Reason: "busy", Message: "Busy.", RetryAfter: 7 * time.Second}
	case catest.Waits:
		return nil, &est.Error{Status: http.StatusAccepted, Reason: "waiting", RetryAfter: 40 * time.Second}
	}
	return f.signFor(r.CSR.CertificateRequest), nil
}

// CheckLink implements est.Linker.
func (f *fake) CheckLink(context.Context, *est.EnrollRequest) error { return nil }

// admit takes the RA, and a user with a password.
func (f *fake) admit(p *est.Peer) error {
	if f.Fault() == catest.RefusesUs {
		return &est.Error{Status: http.StatusUnauthorized, Reason: "who", Message: "Who are you?"}
	}
	if p.User == "registrar" && p.Secret.Reveal() == "correct horse" {
		return nil
	}
	if len(p.Certificates) > 0 && bytes.Equal(p.Certificates[0].Raw, f.ra.Certificate[0]) {
		return nil
	}
	return &est.Error{Status: http.StatusUnauthorized, Reason: "who", Message: "Who are you?"}
}

func keyHash(key crypto.PublicKey) [32]byte {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(spki)
}

// signFor signs once for each key and names, as a server of ours, or each time.
func (f *fake) signFor(csr *x509.CertificateRequest) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := sha256.Sum256(csr.RawTBSCertificateRequest)
	if raw := f.done[id]; raw != nil && !f.anew {
		return raw
	}
	now := time.Now().Truncate(time.Second)
	w := &catest.Wish{PublicKey: csr.PublicKey, RawSubject: csr.RawSubject, DNS: csr.DNSNames, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(lifetime)}
	if f.Fault() == catest.TooLong {
		w.NotAfter = now.AddDate(1, 0, 0)
	}
	if end, ok := f.until[keyHash(csr.PublicKey)]; ok {
		w.NotAfter = end
	}
	sign := f.signs
	if sign == nil {
		sign = f.Sign
	}
	raw := sign(w)
	f.done[id] = raw
	return raw
}

func (f *fake) requests() (csrs [][]byte, labels []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]byte(nil), f.csrs...), append([]string(nil), f.at...)
}

// unkind does what an est.Handler never does.
func (f *fake) unkind(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := f.Fault()
		if r.Method != http.MethodPost {
			fault = catest.None
		}
		switch fault {
		case catest.Slow:
			_, _ = io.Copy(io.Discard, r.Body) // until the client is seen to leave
			<-r.Context().Done()
			return
		case catest.Garbage:
			_, _ = io.WriteString(w, "<html>welcome</html>")
			return
		case catest.Huge:
			w.Header().Set("Content-Type", "application/pkcs7-mime")
			for range 1 << 12 {
				if _, err := w.Write(bytes.Repeat([]byte("A"), 1<<10)); err != nil {
					return
				}
			}
			return
		case catest.None, catest.Down, catest.Refuses, catest.RefusesUs, catest.Overloaded, catest.Waits:
			if len(f.extra) == 0 {
				next.ServeHTTP(w, r)
				return
			}
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		f.spoil(w, answer, fault)
	})
}

// spoil sends an answer on as the fault has it.
func (f *fake) spoil(w http.ResponseWriter, answer *httptest.ResponseRecorder, fault catest.Fault) {
	body := answer.Body.Bytes()
	extra := f.extra
	if answer.Code != http.StatusOK {
		extra = nil
	}
	switch fault {
	case catest.AnswerLost:
		panic(http.ErrAbortHandler)
	case catest.Truncated:
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case catest.AnswersTwice:
		now := time.Now()
		other, err := x509.ParseCertificate(f.Other(&catest.Wish{RawSubject: f.Root.RawSubject, NotBefore: now, NotAfter: now.Add(time.Hour)}))
		if err != nil {
			f.t.Error(err)
		}
		extra = append(extra, other)
	}
	if len(extra) > 0 && answer.Code == http.StatusOK {
		body = f.with(body, extra)
	}
	for name := range answer.Header() {
		w.Header().Set(name, answer.Header().Get(name))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

// with adds certificates before that of a certs-only answer.
func (f *fake) with(body []byte, extra []*x509.Certificate) []byte {
	der, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r"), nil), []byte("\n"), nil)))
	if err != nil {
		f.t.Error(err)
		return nil
	}
	certs, err := cms.ParseCertsOnly(der)
	if err == nil {
		var all [][]byte
		for _, cert := range append(append([]*x509.Certificate(nil), extra...), certs...) {
			all = append(all, cert.Raw)
		}
		der, err = cms.CertsOnly(all...)
	}
	if err != nil {
		f.t.Error(err)
		return nil
	}
	return []byte(base64.StdEncoding.EncodeToString(der))
}

// lengths tells the server how long a certificate is to be valid, as its own
// profile would: EST has no word for it.
type lengths struct {
	ca.Issuer
	f *fake
}

func (l *lengths) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if !r.NotAfter.IsZero() {
		l.f.mu.Lock()
		l.f.until[keyHash(r.PublicKey)] = r.NotAfter
		l.f.mu.Unlock()
	}
	return l.Issuer.Issue(ctx, r)
}

// request is a good one.
func (f *fake) request(id string) (*ca.Request, *[]*ca.Intent) {
	f.t.Helper()
	key := newKey(f.t)
	subject := pkix.Name{CommonName: "device-1"}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: []string{"device-1.example.com"}}, key)
	if err != nil {
		f.t.Fatal(err)
	}
	intents := new([]*ca.Intent)
	return &ca.Request{
		ID: id, Profile: "device", PublicKey: key.Public(), Subject: subject.ToRDNSequence(),
		Names: ca.Names{DNS: []string{"device-1.example.com"}}, CSR: csr,
		Record: func(_ context.Context, in *ca.Intent) error {
			*intents = append(*intents, in)
			return nil
		},
	}, intents
}
