package pledge

import (
	"crypto/x509"
	"time"
)

// Status is what a device knows about itself.
type Status struct {
	Stage           Stage
	SerialNumber    string          // of the IDevID
	Registrar       string          // URL of the registrar that was joined, or while several are asked of the first; empty when Fresh
	Attempts        []AttemptStatus // by registrar, before Imprinted
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

// AttemptStatus is what is on record of one registrar, or join proxy, that was
// asked for a voucher.
type AttemptStatus struct {
	Registrar string    // URL
	Since     time.Time // when the request that is out was sent first; zero for none
	Failures  int       // refusals in a row
	Reason    string    // of the last refusal
	NotBefore time.Time // when it is asked again at the earliest; zero for any time
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
	for _, rec := range r.st.Attempts {
		status.Attempts = append(status.Attempts, AttemptStatus{
			Registrar: rec.Registrar, Since: rec.RequestedAt, Failures: rec.Failures, Reason: rec.Reason, NotBefore: rec.NotBefore,
		})
		if status.Registrar == "" && rec.Request != "" {
			status.Registrar, status.Since = rec.Registrar, rec.RequestedAt
		}
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
