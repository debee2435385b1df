package pledge

import (
	"crypto/x509"
	"time"
)

// Status is what a device knows about itself.
type Status struct {
	Stage           Stage
	SerialNumber    string // of the IDevID
	Registrar       string // URL of the registrar that was asked; empty when Fresh
	Since           time.Time
	Pinned          *x509.Certificate // nil before Imprinted, and where a key alone is pinned
	PinnedKeySHA256 []byte            // of the SubjectPublicKeyInfo; nil before Imprinted
	Certificate     *x509.Certificate // the LDevID; nil before Enrolled
	CACerts         []*x509.Certificate
	VoucherReported bool
	Reported        bool // the enrollment
	Renewing        bool // a renewal was begun and is not finished
	// NotEarlier is the latest time that something verified names as past: the voucher's
	// created-on and signing time, and the beginning of the LDevID. A device
	// without a clock may set one to it, as a lower bound: it is that late or
	// later (RFC 8995, Section 2.6.1). Zero before Imprinted.
	NotEarlier time.Time
}

// Status reads the storage and reports. It does not connect.
func (p *Pledge) Status() (*Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.load()
	if err != nil {
		return nil, err
	}
	status := &Status{
		Stage: r.st.Stage, SerialNumber: p.serial, Registrar: r.st.Registrar, Since: r.st.RequestedAt,
		Certificate: r.cert, CACerts: r.cas,
		NotEarlier:      r.notEarlier(),
		VoucherReported: r.st.VoucherReported, Reported: r.st.EnrollReported, Renewing: r.st.Next != nil,
	}
	if r.pin != nil {
		status.Pinned, status.PinnedKeySHA256 = r.pin.cert, r.pin.hash[:]
	}
	return status, nil
}

// notEarlier is Status.NotEarlier.
func (r *run) notEarlier() time.Time {
	t := r.made
	if r.cert != nil && r.cert.NotBefore.After(t) {
		t = r.cert.NotBefore
	}
	return t
}
