package registrar_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"sync"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// fakeMASA is a small working MASA: it pins the root that travelled with the
// registrar's request, and fails the test when that request is not as RFC
// 8995, Section 5.5 asks. It can be told to fail or to lie.
type fakeMASA struct {
	house  *house
	format voucher.Format // nil for CMS
	signer *testpki.Identity

	mu         sync.Mutex
	asked      int                      // guarded by mu
	fail       error                    // of RequestVoucher; guarded by mu
	failLog    error                    // of RequestAuditLog; guarded by mu
	change     func(v *voucher.Voucher) // what it lies about; guarded by mu
	history    []brski.AuditEvent       // of the audit-log, before the voucher asked for; guarded by mu
	truncation *brski.Truncation        // of the audit-log; guarded by mu
	requests   [][]byte                 // guarded by mu
	answer     func(*brski.Voucher)     // guarded by mu
	gate       chan struct{}            // when set, each request waits for a value; guarded by mu
	chain      []*x509.Certificate      // sent along with the signer's; guarded by mu
}

func (m *fakeMASA) set(f func(m *fakeMASA)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *fakeMASA) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *fakeMASA) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	m.requests = append(m.requests, r.Raw)
	if m.fail != nil {
		return nil, m.fail
	}
	format := m.spoken()
	q, a, err := format.OpenRequest(r.Raw)
	if err != nil {
		return nil, &est.Error{Status: 400, Reason: "voucher-request", Message: err.Error()}
	}
	m.checkRequest(format, q, a)
	v := &voucher.Voucher{
		Assertion: voucher.Logged, CreatedOn: r.At, SerialNumber: q.SerialNumber, Nonce: q.Nonce,
		IDevIDIssuer: q.IDevIDIssuer, PinnedDomainCert: rootOf(a.Certificates).Raw,
	}
	if v.Nonce == "" {
		v.ExpiresOn = r.At.Add(time.Hour)
	}
	if m.change != nil {
		m.change(v)
	}
	raw, err := format.SignVoucher(ctx, v, &voucher.Signer{Key: m.signer.Key, Certificate: m.signer.Certificate, Chain: m.chain})
	if err != nil {
		return nil, err
	}
	out := &brski.Voucher{MediaType: format.MediaType(), Raw: raw}
	if m.answer != nil {
		m.answer(out)
	}
	return out, nil
}

// checkRequest checks that the registrar's request is as RFC 8995, Section 5.5
// asks: one ahead of its device has no pledge's inside, and at most the voucher
// that it renews (rfc8366bis, Section 10.1).
func (m *fakeMASA) checkRequest(format voucher.Format, q *voucher.Request, a *voucher.Artifact) {
	prior, _, err := voucher.WithKnown(format, a.Certificates).OpenRequest(q.PriorSignedVoucherRequest)
	old, _, oldErr := format.OpenVoucher(q.PriorSignedVoucherRequest)
	ahead := q.Nonce == "" && (oldErr == nil || q.PriorSignedVoucherRequest == nil)
	if len(q.ProximityRegistrarCert) > 0 || len(q.IDevIDIssuer) == 0 && !ahead {
		m.house.t.Errorf("the registrar's request has proximity-registrar-cert or no idevid-issuer (RFC 8995, Section 5.5)")
	}
	if ahead {
		if q.PriorSignedVoucherRequest != nil && (old.SerialNumber != q.SerialNumber || old.Nonce != "") {
			m.house.t.Error("prior-signed-voucher-request holds another voucher than one of the device without a nonce")
		}
		return
	}
	if err != nil || prior.Nonce != q.Nonce || prior.SerialNumber != q.SerialNumber {
		m.house.t.Errorf("the registrar's request does not carry the pledge's whole: %v", err)
	}
}

func rootOf(certs []*x509.Certificate) *x509.Certificate {
	for _, c := range certs {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			return c
		}
	}
	return certs[0]
}

func (m *fakeMASA) RequestAuditLog(_ context.Context, r *brski.MASARequest) (*brski.AuditLog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failLog != nil {
		return nil, m.failLog
	}
	if last := m.requests[len(m.requests)-1]; !bytes.Equal(last, r.Raw) {
		m.house.t.Errorf("the audit-log is asked for with another request than the voucher (RFC 8995, Section 5.8)")
	}
	ours := base64.StdEncoding.EncodeToString(voucher.DomainID(m.house.root.Certificate))
	log := &brski.AuditLog{Version: 1}
	log.Events = append(log.Events, m.history...)
	q, _, err := m.spoken().OpenRequest(r.Raw)
	if err != nil {
		return nil, err
	}
	own := brski.AuditEvent{Date: r.At, DomainID: ours, Assertion: voucher.Logged}
	if q.Nonce != "" {
		own.Nonce = &q.Nonce
	}
	log.Events = append(log.Events, own)
	log.Truncation = m.truncation
	log.Raw, err = brski.MarshalAuditLog(log)
	return log, err
}

func (m *fakeMASA) spoken() voucher.Format {
	if m.format == nil {
		return vouchercms.Format{}
	}
	return m.format
}
