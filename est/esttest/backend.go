// Package esttest has an est.Backend for tests: a small working one that signs with a CA of its own, checks that its
// caller keeps the contract, and can be told to fail.
package esttest

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

var (
	_ est.Backend    = (*Backend)(nil)
	_ est.CSRAttrser = (*Backend)(nil)
	_ est.Admitter   = (*Backend)(nil)
	_ est.Observer   = (*Backend)(nil)
)

// Backend issues certificates to those with a password or a certificate. Exported fields may be changed between
// requests, not during one.
type Backend struct {
	CA *testpki.Identity // signs; below a root
	// Users are HTTP Basic users with their passwords.
	Users map[string]string
	// Devices are the anchors of client certificates from elsewhere, such as IDevIDs. Nil: none.
	Devices *x509.CertPool
	// Attrs is the DER of the CsrAttrs. Nil: none.
	Attrs []byte
	// Labels are the ones that are served. The default CA always is.
	Labels []string
	// Wait, when above zero, answers every enrollment with 202 and this time.
	Wait time.Duration
	// FailBefore and FailAfter, when not nil, are what Enroll returns before or after it issues.
	FailBefore, FailAfter error

	t        testing.TB
	mu       sync.Mutex
	issued   []*x509.Certificate // guarded by mu
	refusals []Refusal           // guarded by mu
}

// Refusal is what the Observer was told.
type Refusal struct {
	Request est.Request
	Error   *est.Error
}

// New makes a Backend with a root, a CA below it and the user "device" with the password "secret".
func New(t testing.TB) *Backend {
	t.Helper()
	root := testpki.NewRoot(t, "EST test root")
	return &Backend{CA: root.NewIntermediate(t, "EST test CA"), Users: map[string]string{"device": "secret"}, t: t}
}

// Serve serves h over TLS on 127.0.0.1 until the test ends, and returns the URL without a path. The server's
// certificate chains to the Backend's root; a client certificate is asked for and not verified.
func (b *Backend) Serve(h http.Handler) string {
	b.t.Helper()
	certificate := b.CA.Server(b.t, "EST test server").TLS()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test lets fail
	s.StartTLS()
	b.t.Cleanup(s.Close)
	return s.URL
}

// Root returns a pool of the Backend's root.
func (b *Backend) Root() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(b.CA.Chain[len(b.CA.Chain)-1])
	return pool
}

// Issued returns the certificates issued so far, oldest first.
func (b *Backend) Issued() []*x509.Certificate {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.issued)
}

// TakeRefusals returns the refusals since the last call.
func (b *Backend) TakeRefusals() []Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.refusals
	b.refusals = nil
	return taken
}

// Admit implements est.Admitter: unknown labels are refused.
func (b *Backend) Admit(_ context.Context, r *est.Request) error {
	b.check(r)
	if r.Label == "" || slices.Contains(b.Labels, r.Label) {
		return nil
	}
	return &est.Error{Status: http.StatusNotFound, Reason: "label-unknown", Message: "No such label."}
}

// CACerts implements est.Backend.
func (b *Backend) CACerts(_ context.Context, r *est.Request) ([]*x509.Certificate, error) {
	b.check(r)
	return append([]*x509.Certificate{b.CA.Certificate}, b.CA.Chain...), nil
}

// CSRAttrs implements est.CSRAttrser.
func (b *Backend) CSRAttrs(_ context.Context, r *est.Request) ([]byte, error) {
	b.check(r)
	return b.Attrs, nil
}

// Enroll implements est.Backend: it authenticates, checks the names of a re-enrollment and signs.
func (b *Backend) Enroll(_ context.Context, r *est.EnrollRequest) ([]byte, error) {
	b.check(&r.Request)
	if r.CSR == nil || r.CSR.CheckSignature() != nil {
		b.t.Errorf("Enroll got a CSR that is missing or not verified")
		return nil, errors.New("contract broken")
	}
	if err := b.authenticate(r); err != nil {
		return nil, err
	}
	if b.FailBefore != nil {
		return nil, b.FailBefore
	}
	if b.Wait > 0 {
		return nil, &est.Error{Status: http.StatusAccepted, Reason: "waiting", Message: "Not decided yet.", RetryAfter: b.Wait}
	}
	der, err := b.sign(r)
	if err != nil {
		return nil, err
	}
	return der, b.FailAfter
}

// Refused implements est.Observer.
func (b *Backend) Refused(_ context.Context, r *est.Request, e *est.Error) {
	if r.ID == "" || r.Peer == nil || r.At.IsZero() || e == nil || e.Reason == "" || e.Status < 400 {
		b.t.Errorf("Refused got an incomplete request %+v or error %v", r, e)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = append(b.refusals, Refusal{Request: *r, Error: e})
}

// check holds the caller to the contract of est.Request.
func (b *Backend) check(r *est.Request) {
	if r.ID == "" || r.Operation == "" || r.Peer == nil || r.At.IsZero() || !r.Peer.Address.IsValid() {
		b.t.Errorf("the backend got an incomplete request: %+v", r)
	}
}

func (b *Backend) authenticate(r *est.EnrollRequest) error {
	if len(r.Peer.Certificates) > 0 {
		return b.checkCertificate(r)
	}
	password, known := b.Users[r.Peer.User]
	if !known || subtle.ConstantTimeCompare([]byte(password), []byte(r.Peer.Secret.Reveal())) != 1 {
		return &est.Error{Status: http.StatusUnauthorized, Reason: "unauthenticated", Message: "Give a user and a password."}
	}
	if r.Operation == est.OpSimpleReenroll {
		return &est.Error{Status: http.StatusForbidden, Reason: "reenroll-without-certificate", Message: "Authenticate with the certificate to renew."}
	}
	return nil
}

func (b *Backend) checkCertificate(r *est.EnrollRequest) error {
	own := x509.VerifyOptions{Roots: b.Root(), Intermediates: b.CA.Pool(), CurrentTime: r.At}
	if _, err := r.Peer.Verify(own); err == nil {
		if r.CSR.ChangeSubjectName != nil {
			return &est.Error{Status: http.StatusForbidden, Reason: est.ReasonReenrollChangeSubject, Message: "Names do not change here."}
		}
		if r.Operation == est.OpSimpleReenroll {
			return est.SameNames(r.CSR.CertificateRequest, r.Peer.Certificates[0])
		}
		return nil
	}
	_, err := r.Peer.Verify(x509.VerifyOptions{Roots: b.Devices, CurrentTime: r.At})
	if err != nil || r.Operation == est.OpSimpleReenroll {
		return &est.Error{Status: http.StatusForbidden, Reason: "certificate-unknown", Message: "The certificate is not known here.", Err: err}
	}
	return nil
}

func (b *Backend) sign(r *est.EnrollRequest) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), RawSubject: r.CSR.RawSubject,
		DNSNames: r.CSR.DNSNames, IPAddresses: r.CSR.IPAddresses, EmailAddresses: r.CSR.EmailAddresses, URIs: r.CSR.URIs,
		NotBefore: r.At.Add(-time.Minute), NotAfter: r.At.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, b.CA.Certificate, r.CSR.PublicKey, b.CA.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.issued = append(b.issued, cert)
	return der, nil
}
