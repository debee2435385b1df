package brskitest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Registrar admits every device of the manufacturer, asks the MASA once for
// each voucher-request, and enrolls who has a voucher. Its methods may be
// called concurrently.
type Registrar struct {
	t     testing.TB
	world *World
	masa  brski.MASA

	mu            sync.Mutex
	pending       int                             // 202s to come, of either protocol; guarded by mu, as all below
	refuse        error                           // for voucher-requests
	refuseEnroll  error                           // for CSRs
	issue         func(*est.EnrollRequest) []byte // in place of issuing
	caCerts       []*x509.Certificate             // in place of the domain's
	anyProximity  bool
	csrAttrs      []byte
	requests      [][]byte                    // voucher-requests as they came
	vouchers      map[[32]byte]*brski.Voucher // by voucher-request
	certificates  map[[32]byte][]byte         // by public key
	enrollments   []*est.EnrollRequest        // as they came
	voucherStatus []*brski.StatusReport
	enrollStatus  []*brski.StatusReport
}

var _ brski.RegistrarBackend = (*Registrar)(nil)

func newRegistrar(t testing.TB, w *World, masa brski.MASA) *Registrar {
	return &Registrar{
		t: t, world: w, masa: masa,
		vouchers: make(map[[32]byte]*brski.Voucher), certificates: make(map[[32]byte][]byte),
	}
}

func set[T any](r *Registrar, field *T, value T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*field = value
}

func get[T any](r *Registrar, field *[]T) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(*field)
}

// AskMASA replaces the MASA that is asked.
func (r *Registrar) AskMASA(m brski.MASA) { set(r, &r.masa, m) }

// StayPending answers the next n voucher-requests and CSRs with 202.
func (r *Registrar) StayPending(n int) { set(r, &r.pending, n) }

// Refuse answers voucher-requests with err; nil ends that.
func (r *Registrar) Refuse(err error) { set(r, &r.refuse, err) }

// RefuseEnroll answers CSRs with err; nil ends that.
func (r *Registrar) RefuseEnroll(err error) { set(r, &r.refuseEnroll, err) }

// IssueWith lets f make the certificates, DER; nil ends that.
func (r *Registrar) IssueWith(f func(*est.EnrollRequest) []byte) { set(r, &r.issue, f) }

// SetCACerts replaces the CA certificates; nil ends that.
func (r *Registrar) SetCACerts(certs []*x509.Certificate) { set(r, &r.caCerts, certs) }

// TakeAnyProximity takes voucher-requests whatever registrar they name, and how.
func (r *Registrar) TakeAnyProximity() { set(r, &r.anyProximity, true) }

// SetCSRAttrs makes csrattrs answer with der (RFC 7030, Section 4.5.2).
func (r *Registrar) SetCSRAttrs(der []byte) { set(r, &r.csrAttrs, der) }

// Requests returns the voucher-requests that came, in order.
func (r *Registrar) Requests() [][]byte { return get(r, &r.requests) }

// Enrollments returns the CSRs that came, in order.
func (r *Registrar) Enrollments() []*est.EnrollRequest { return get(r, &r.enrollments) }

// VoucherStatuses returns the voucher_status posts, in order.
func (r *Registrar) VoucherStatuses() []*brski.StatusReport { return get(r, &r.voucherStatus) }

// EnrollStatuses returns the enrollstatus posts, in order.
func (r *Registrar) EnrollStatuses() []*brski.StatusReport { return get(r, &r.enrollStatus) }

// RequestVoucher implements [brski.RegistrarBackend].
func (r *Registrar) RequestVoucher(ctx context.Context, q *brski.VoucherRequest) (*brski.Voucher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.Accept) == 0 || q.Format == nil || q.Request == nil || q.Artifact == nil || q.ID == "" || q.At.IsZero() {
		r.t.Errorf("brskitest: VoucherRequest = %+v; something is missing", q)
	}
	r.requests = append(r.requests, bytes.Clone(q.Artifact.Raw))
	if err := r.refuse; err != nil {
		return nil, err
	}
	if err := r.check(q); err != nil {
		return nil, err
	}
	if r.pending > 0 {
		r.pending--
		return nil, &est.Error{Status: http.StatusAccepted, Reason: "test-pending", RetryAfter: 2 * time.Second}
	}
	key := sha256.Sum256(q.Artifact.Raw)
	if v, found := r.vouchers[key]; found {
		return v, nil
	}
	signed, err := r.sign(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := r.masa.RequestVoucher(ctx, &brski.MASARequest{
		MediaType: q.Format.MediaType(), Raw: signed, Accept: []string{q.Accept[0].MediaType()}, At: q.At,
	})
	if err == nil {
		r.vouchers[key] = v
	}
	return v, err
}

func (r *Registrar) check(q *brski.VoucherRequest) error {
	_, err := q.Peer.Verify(x509.VerifyOptions{Roots: r.world.Vendor.Pool()})
	serial, errSerial := voucher.SerialNumber(q.Peer.Certificates[0])
	switch {
	case err != nil, errSerial != nil:
		return &est.Error{Status: http.StatusForbidden, Reason: "test-manufacturer", Message: "The manufacturer is not known.", Err: err}
	case serial != q.Request.SerialNumber:
		return &est.Error{Status: http.StatusForbidden, Reason: "test-serial", Message: "The serial number is another device's."}
	case q.Request.Assertion != voucher.Proximity, !r.anyProximity && !bytes.Equal(q.Request.ProximityRegistrarCert, r.world.Identity.Certificate.Raw):
		return &est.Error{Status: http.StatusUnauthorized, Reason: "test-proximity", Message: "That is not our certificate."}
	default:
		return nil
	}
}

// sign makes the registrar's voucher-request (RFC 8995, Section 5.5).
func (r *Registrar) sign(ctx context.Context, q *brski.VoucherRequest) ([]byte, error) {
	issuer, err := voucher.IDevIDIssuer(q.Peer.Certificates[0])
	if err != nil {
		return nil, err
	}
	id := r.world.Identity
	return vouchercms.Format{}.SignRequest(ctx, &voucher.Request{
		Assertion: q.Request.Assertion, CreatedOn: q.At.UTC().Truncate(time.Second), SerialNumber: q.Request.SerialNumber,
		IDevIDIssuer: issuer, Nonce: q.Request.Nonce, PriorSignedVoucherRequest: q.Artifact.Raw,
	}, &voucher.Signer{Key: id.Key, Certificate: id.Certificate, Chain: id.Chain})
}

// VoucherStatus implements [brski.RegistrarBackend].
func (r *Registrar) VoucherStatus(_ context.Context, s *brski.StatusReport) error {
	set(r, &r.voucherStatus, append(r.VoucherStatuses(), s))
	return nil
}

// EnrollStatus implements [brski.RegistrarBackend].
func (r *Registrar) EnrollStatus(_ context.Context, s *brski.StatusReport) error {
	set(r, &r.enrollStatus, append(r.EnrollStatuses(), s))
	return nil
}

// estBackend is the Registrar as an EST backend.
type estBackend struct{ *Registrar }

var _ est.Backend = estBackend{}

// CSRAttrs implements [est.CSRAttrser].
func (r estBackend) CSRAttrs(context.Context, *est.Request) ([]byte, error) {
	return get(r.Registrar, &r.csrAttrs), nil
}

// CACerts implements [est.Backend].
func (r estBackend) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	if certs := get(r.Registrar, &r.caCerts); len(certs) > 0 {
		return certs, nil
	}
	return []*x509.Certificate{r.world.Issuing.Certificate, r.world.Domain.Certificate}, nil
}

// Enroll implements [est.Backend]: the same key gets the same certificate, with
// the serial number of whoever asks.
func (r estBackend) Enroll(_ context.Context, q *est.EnrollRequest) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enrollments = append(r.enrollments, q)
	if err := r.refuseEnroll; err != nil {
		return nil, err
	}
	if r.pending > 0 {
		r.pending--
		return nil, &est.Error{Status: http.StatusAccepted, Reason: "test-pending", RetryAfter: 2 * time.Second}
	}
	if r.issue != nil {
		return r.issue(q), nil
	}
	anchors := r.world.Vendor.Pool()
	if q.Operation == est.OpSimpleReenroll {
		anchors = r.world.Domain.Pool()
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(r.world.Issuing.Certificate)
	if _, err := q.Peer.Verify(x509.VerifyOptions{Roots: anchors, Intermediates: intermediates}); err != nil {
		return nil, &est.Error{Status: http.StatusForbidden, Reason: "test-peer", Message: "Who are you?", Err: err}
	}
	peer := q.Peer.Certificates[0]
	if q.Operation == est.OpSimpleReenroll && !bytes.Equal(peer.RawSubject, q.CSR.RawSubject) {
		return nil, &est.Error{Status: http.StatusForbidden, Reason: "test-names", Message: "The names changed."}
	}
	key := sha256.Sum256(q.CSR.RawSubjectPublicKeyInfo)
	if der, found := r.certificates[key]; found {
		return der, nil
	}
	der := r.Issue(q)
	r.certificates[key] = der
	return der, nil
}

// Issue makes a certificate for q as the domain does.
func (r *Registrar) Issue(q *est.EnrollRequest) []byte {
	id := r.world.Issuing.Issue(r.t, &x509.Certificate{
		Subject:     pkix.Name{SerialNumber: q.Peer.Certificates[0].Subject.SerialNumber},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, publicOnly{Signer: testpki.NewKey(r.t), public: q.CSR.PublicKey})
	return id.Certificate.Raw
}

// publicOnly is a key of which only the public half is asked for.
type publicOnly struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k publicOnly) Public() crypto.PublicKey { return k.public }
