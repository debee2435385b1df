package brskitest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// MASA issues a voucher to whoever asks, pins the CA farthest from the
// registrar, and logs it. Its methods may be called concurrently.
type MASA struct {
	t      testing.TB
	vendor *testpki.Identity

	mu     sync.Mutex
	signer *testpki.Identity      // guarded by mu
	change func(*voucher.Voucher) // guarded by mu
	refuse error                  // guarded by mu
	issued int                    // guarded by mu
	events []brski.AuditEvent     // guarded by mu
}

var _ brski.MASA = (*MASA)(nil)

func newMASA(t testing.TB, vendor *testpki.Identity) *MASA {
	return &MASA{t: t, vendor: vendor, signer: vendor.Issue(t, &x509.Certificate{}, testpki.NewKey(t))}
}

// SignAs makes other sign vouchers from now on.
func (m *MASA) SignAs(other *testpki.Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signer = other
}

// Change lets f change each voucher before it is signed; nil for no change.
func (m *MASA) Change(f func(*voucher.Voucher)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change = f
}

// Refuse makes every request fail with err; nil ends that.
func (m *MASA) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Issued returns how many vouchers were issued.
func (m *MASA) Issued() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.issued
}

// RequestVoucher implements [brski.MASA].
func (m *MASA) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	request, artifact, err := m.open(r)
	if err != nil {
		return nil, err
	}
	pin := farthest(artifact)
	v := &voucher.Voucher{
		Assertion: voucher.Proximity, CreatedOn: request.CreatedOn, SerialNumber: request.SerialNumber,
		IDevIDIssuer: request.IDevIDIssuer, Nonce: request.Nonce, PinnedDomainCert: pin.Raw,
	}
	if m.change != nil {
		m.change(v)
	}
	raw, err := vouchercms.Format{}.SignVoucher(ctx, v, &voucher.Signer{
		Key: m.signer.Key, Certificate: m.signer.Certificate, Chain: m.signer.Chain,
	})
	if err != nil {
		return nil, err
	}
	m.issued++
	event := brski.AuditEvent{
		Date: r.At.UTC(), DomainID: base64.StdEncoding.EncodeToString(voucher.DomainID(pin)), Assertion: v.Assertion,
	}
	if v.Nonce != "" {
		event.Nonce = &v.Nonce
	}
	m.events = append(m.events, event)
	return &brski.Voucher{MediaType: vouchercms.MediaType, Raw: raw}, nil
}

// RequestAuditLog implements [brski.MASA].
func (m *MASA) RequestAuditLog(_ context.Context, r *brski.MASARequest) (*brski.AuditLog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, err := m.open(r); err != nil {
		return nil, err
	}
	return &brski.AuditLog{Version: brski.AuditLogVersion, Events: append([]brski.AuditEvent(nil), m.events...)}, nil
}

// open checks the contract of callers, and that the pledge's request is inside.
func (m *MASA) open(r *brski.MASARequest) (*voucher.Request, *voucher.Artifact, error) {
	if len(r.Accept) == 0 || r.MediaType == "" || r.At.IsZero() {
		m.t.Errorf("brskitest: MASARequest = %+v; Accept, MediaType and At are needed", r)
	}
	if m.refuse != nil {
		return nil, nil, m.refuse
	}
	bad := func(err error) error {
		return &est.Error{Status: http.StatusForbidden, Reason: "test-request", Message: "The request is not good.", Err: err}
	}
	request, artifact, err := vouchercms.Format{}.OpenRequest(r.Raw)
	if err != nil {
		return nil, nil, bad(err)
	}
	prior, _, err := vouchercms.Format{}.OpenRequest(request.PriorSignedVoucherRequest)
	if err != nil || prior.Nonce != request.Nonce || prior.SerialNumber != request.SerialNumber {
		return nil, nil, bad(err)
	}
	return request, artifact, nil
}

// farthest returns the root that travelled with the request, else its signer.
func farthest(a *voucher.Artifact) *x509.Certificate {
	for _, c := range a.Certificates {
		if c.IsCA && c.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return a.Signer
}
