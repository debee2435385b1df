package brskiregistrar_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func formats() []voucher.Format {
	return []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
}

// house is the reference registrar: the library's handlers over a small backend.
// Faults change it before it serves.
type house struct {
	t                        testing.TB
	vendor, domain, issuing  *testpki.Identity
	identity                 *testpki.Identity
	tls                      *tls.Config
	handler                  http.Handler
	client                   *http.Client // to the MASA
	target                   *brskiregistrar.Target
	request                  func(r *voucher.Request, q *brski.VoucherRequest) // changes the registrar's request
	signed                   func([]byte) []byte
	signer                   *testpki.Identity
	format                   func(voucher.Format) voucher.Format
	call                     func(*http.Request)                                  // changes what goes to the MASA
	passes                   func(status int, mediaType string, body []byte) bool // takes this for a voucher
	ignores                  string                                               // the check of vouchers or logs that is left out
	twice, noLog, notThere   bool
	certFirst, anyRenewal    bool
	refusesEnroll, issuesBad func(*est.EnrollRequest) bool

	redirects, vouches bool // as a cloud registrar

	mu     sync.Mutex
	joined map[string]bool // serial numbers with a voucher; guarded by mu
	kept   map[[32]byte]*brski.Voucher
}

type fault func(*house)

func start(t testing.TB, faults ...fault) *brskiregistrar.Target {
	t.Helper()
	h := &house{
		t: t, vendor: testpki.NewRoot(t, "Vendor"), domain: testpki.NewRoot(t, "Domain"),
		joined: make(map[string]bool), kept: make(map[[32]byte]*brski.Voucher),
	}
	h.issuing = h.domain.NewIntermediate(t, "Issuing")
	h.identity = h.issuing.Registrar(t, "registrar")
	h.signer = h.identity
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	device := h.vendor.IDevID(t, "P-1", "https://localhost:"+port+"/.well-known/brski")
	pledge := device.TLS()
	pledge.Leaf = device.Certificate
	server, signer, ca := h.vendor.Server(t, "masa").TLS(), h.vendor.Issue(t, &x509.Certificate{}, testpki.NewKey(t)).TLS(), h.vendor.TLS()
	h.target = &brskiregistrar.Target{
		Pledge: &pledge, Manufacturer: &ca, MASA: &brskiregistrar.MASA{Certificate: &server, Signer: &signer},
	}
	own := h.identity.TLS()
	h.client = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: h.vendor.Pool(), Certificates: []tls.Certificate{own}}, DisableKeepAlives: true,
	}}
	h.tls = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	b, e := &brski.RegistrarHandler{Backend: backend{h}, Formats: formats()}, &est.Handler{Backend: estBackend{h}}
	h.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.EscapedPath(), brski.PathPrefix) {
			b.ServeHTTP(w, r)
			return
		}
		e.ServeHTTP(w, r)
	})
	for _, f := range faults {
		f(h)
	}
	s := httptest.NewUnstartedServer(h.handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test lets fail
	s.TLS = h.tls
	s.StartTLS()
	t.Cleanup(s.Close)
	stop := h.target.MASA.Serve(l)
	t.Cleanup(func() { _ = stop() })
	h.target.Site = wire.Site{URL: s.URL}
	return h.target
}

type backend struct{ *house }

func denied(status int, text string) error {
	return &est.Error{Status: status, Reason: "house", Message: text}
}

// RequestVoucher implements [brski.RegistrarBackend].
func (h backend) RequestVoucher(ctx context.Context, q *brski.VoucherRequest) (*brski.Voucher, error) {
	leaf := q.Peer.Certificates[0]
	serial, errSerial := voucher.SerialNumber(leaf)
	base, errURL := voucher.MASAURL(leaf)
	switch {
	case !h.ours(leaf) || errSerial != nil:
		return nil, denied(403, "an unknown manufacturer, or no serial number")
	case voucher.CheckRequest(q.Request) != nil:
		return nil, denied(400, "not a request to forward")
	case q.Request.SerialNumber != serial:
		return nil, denied(403, "another device's serial number")
	case errURL != nil:
		return nil, denied(403, "no MASA")
	case q.Request.Assertion != voucher.Proximity, !h.near(q.Request):
		return nil, denied(401, "not our certificate")
	}
	key := sha256.Sum256(q.Artifact.Raw)
	h.mu.Lock()
	kept := h.kept[key]
	h.mu.Unlock()
	if kept != nil {
		return kept, nil
	}
	v, err := h.ask(ctx, q, serial, base)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.joined[serial], h.kept[key] = true, v
	}
	return v, err
}

// near tells whether the request names this registrar (rfc8366bis, Section 9).
func (h *house) near(r *voucher.Request) bool {
	if hash := r.ProximityRegistrarPubkSHA256; len(hash) > 0 && (!h.certFirst || len(r.ProximityRegistrarCert) == 0) {
		own := sha256.Sum256(h.identity.Certificate.RawSubjectPublicKeyInfo)
		return bytes.Equal(hash, own[:])
	}
	return bytes.Equal(r.ProximityRegistrarCert, h.identity.Certificate.Raw)
}

func (h *house) ours(leaf *x509.Certificate) bool {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: h.vendor.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func (h *house) ask(ctx context.Context, q *brski.VoucherRequest, serial, base string) (*brski.Voucher, error) {
	f := q.Format
	if h.format != nil {
		f = h.format(f)
	}
	issuer, err := voucher.IDevIDIssuer(q.Peer.Certificates[0])
	if err != nil {
		return nil, err
	}
	r := &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: serial, IDevIDIssuer: issuer,
		Nonce: q.Request.Nonce, PriorSignedVoucherRequest: q.Artifact.Raw,
	}
	if h.request != nil {
		h.request(r, q)
	}
	raw, err := f.SignRequest(ctx, r, &voucher.Signer{Key: h.signer.Key, Certificate: h.signer.Certificate, Chain: h.signer.Chain})
	if err != nil {
		return nil, err
	}
	if h.signed != nil {
		raw = h.signed(raw)
	}
	if h.twice {
		_, _, _, _ = h.post(ctx, base+"/requestvoucher", f, raw)
	}
	status, mediaType, answer, err := h.post(ctx, base+"/requestvoucher", f, raw)
	if h.passes != nil && h.passes(status, mediaType, answer) {
		return &brski.Voucher{MediaType: q.Format.MediaType(), Raw: []byte("voucher")}, nil
	}
	switch {
	case err != nil:
		return nil, denied(504, "the MASA cannot be reached")
	case status != http.StatusOK || mediaType != f.MediaType():
		return nil, denied(502, "the MASA did not issue")
	}
	if err := h.check(f, r, answer); err != nil {
		return nil, denied(502, err.Error())
	}
	if !h.noLog {
		if err := h.auditLog(ctx, base, f, raw); err != nil {
			return nil, denied(502, err.Error())
		}
	}
	return &brski.Voucher{MediaType: f.MediaType(), Raw: answer}, nil
}

// check looks at a voucher.
func (h *house) check(f voucher.Format, r *voucher.Request, raw []byte) error {
	v, a, err := f.OpenVoucher(raw)
	if err != nil {
		if h.ignores == "form" {
			return nil
		}
		return errors.New("the MASA's answer is no voucher")
	}
	_, err = a.VerifySigner(h.vendor.Pool(), time.Now())
	pin, errPin := x509.ParseCertificate(v.PinnedDomainCert)
	switch {
	case err != nil && h.ignores != "signer":
		return errors.New("somebody else signed")
	case v.Nonce != r.Nonce && h.ignores != "nonce":
		return errors.New("another nonce")
	case v.SerialNumber != r.SerialNumber && h.ignores != "serial":
		return errors.New("another device")
	case !v.ExpiresOn.IsZero() && time.Now().After(v.ExpiresOn) && h.ignores != "expiry":
		return errors.New("expired")
	case h.ignores != "pin" && !h.vouches && (errPin != nil || !bytes.Equal(pin.Raw, h.domain.Certificate.Raw) && !bytes.Equal(pin.Raw, h.issuing.Certificate.Raw)):
		return errors.New("another domain")
	}
	return nil
}

func (h *house) post(ctx context.Context, url string, f voucher.Format, raw []byte) (int, string, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return 0, "", nil, err
	}
	r.Header.Set("Content-Type", f.MediaType())
	r.Header.Set("Accept", f.MediaType())
	if strings.HasSuffix(url, "/requestauditlog") {
		r.Header.Set("Accept", "application/json")
	}
	if h.call != nil {
		h.call(r)
	}
	a, err := h.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer a.Body.Close()
	if a.StatusCode == http.StatusCreated && !h.notThere {
		return h.fetch(ctx, a)
	}
	body, err := io.ReadAll(io.LimitReader(a.Body, 8<<20))
	return a.StatusCode, a.Header.Get("Content-Type"), body, err
}

func (h *house) fetch(ctx context.Context, created *http.Response) (int, string, []byte, error) {
	where, err := created.Location()
	if err != nil {
		return 0, "", nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return 0, "", nil, err
	}
	a, err := h.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, 8<<20))
	return a.StatusCode, a.Header.Get("Content-Type"), body, err
}

func (h *house) auditLog(ctx context.Context, base string, f voucher.Format, raw []byte) error {
	status, _, body, err := h.post(ctx, base+"/requestauditlog", f, raw)
	if err != nil || status == http.StatusCreated {
		return err
	}
	l, err := brski.ParseAuditLog(body)
	if err != nil {
		return err
	}
	if h.ignores == "strings" && bytes.Contains(body, []byte(`"1"`)) {
		return errors.New("a version in quotes")
	}
	for _, e := range l.Events {
		if e.Nonce == nil && h.ignores != "log" {
			return errors.New("somebody has a voucher without a nonce")
		}
	}
	return nil
}

// VoucherStatus implements [brski.RegistrarBackend].
func (backend) VoucherStatus(context.Context, *brski.StatusReport) error { return nil }

// EnrollStatus implements [brski.RegistrarBackend].
func (backend) EnrollStatus(context.Context, *brski.StatusReport) error { return nil }

type estBackend struct{ *house }

// CSRAttrs implements [est.CSRAttrser].
func (estBackend) CSRAttrs(context.Context, *est.Request) ([]byte, error) {
	return []byte{0x30, 0}, nil
}

// CACerts implements [est.Backend].
func (h estBackend) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{h.issuing.Certificate, h.domain.Certificate}, nil
}

// onlyPublic is a key of which only the public half is asked for.
type onlyPublic struct {
	crypto.Signer
	public crypto.PublicKey
}

// Public implements [crypto.Signer].
func (k onlyPublic) Public() crypto.PublicKey { return k.public }

// Enroll implements [est.Backend].
func (h estBackend) Enroll(_ context.Context, q *est.EnrollRequest) ([]byte, error) {
	if len(q.Peer.Certificates) == 0 {
		return nil, denied(403, "nobody")
	}
	leaf := q.Peer.Certificates[0]
	serial := leaf.Subject.SerialNumber
	h.mu.Lock()
	joined := h.joined[serial]
	h.mu.Unlock()
	member := leaf.CheckSignatureFrom(h.issuing.Certificate) == nil
	if h.refusesEnroll != nil && h.refusesEnroll(q) || !joined || !(h.ours(leaf) || member) {
		return nil, denied(403, "no voucher")
	}
	if q.Operation == est.OpSimpleReenroll && !h.anyRenewal && (!bytes.Equal(q.CSR.RawSubject, leaf.RawSubject) || len(q.CSR.DNSNames) > 0) {
		return nil, denied(400, "other names")
	}
	by := h.issuing
	if h.issuesBad != nil && h.issuesBad(q) {
		by = h.vendor
	}
	id := by.Issue(h.t, &x509.Certificate{Subject: pkix.Name{SerialNumber: serial}}, onlyPublic{testpki.NewKey(h.t), q.CSR.PublicKey})
	return id.Certificate.Raw, nil
}
