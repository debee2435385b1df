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
	Pinned          *x509.Certificate // nil before Imprinted
	Certificate     *x509.Certificate // the LDevID; nil before Enrolled
	CACerts         []*x509.Certificate
	VoucherReported bool
	Reported        bool // the enrollment
	Renewing        bool // a renewal was begun and is not finished
}

// Status reads the storage and reports. It does not connect.
func (p *Pledge) Status() (*Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.load()
	if err != nil {
		return nil, err
	}
	return &Status{
		Stage: r.st.Stage, SerialNumber: p.serial, Registrar: r.st.Registrar, Since: r.st.RequestedAt,
		Pinned: r.pin, Certificate: r.cert, CACerts: r.cas,
		VoucherReported: r.st.VoucherReported, Reported: r.st.EnrollReported, Renewing: r.st.Next != nil,
	}, nil
}
