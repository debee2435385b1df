package registrar

import (
	"context"
	"encoding/json"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Evidence is what is on record about how a device got its vouchers.
type Evidence struct {
	Device    *Device
	Exchanges []*ExchangeEvidence // oldest first
	Reports   []*Report           // telemetry, oldest first; of the newest 100 entries on the device's trail
}

// ExchangeEvidence is one voucher exchange with its artifacts, and what is in them.
type ExchangeEvidence struct {
	Record  *VoucherRecord
	Voucher *voucher.Voucher // as it was opened again; nil for none
	Events  []AuditedEvent   // of the audit-log, in its order
	LeftOut int              // entries that the MASA left out of the audit-log, of nobody knows which domain
}

// Report is one piece of telemetry (RFC 8995, Sections 5.7 and 5.9.4).
type Report struct {
	At      time.Time
	Kind    string // KindVoucherStatus or KindEnrollStatus
	Status  bool
	Version int
	Reason  string // the first 512 bytes
	Context string // reason-context as JSON; the first 512 bytes
	Ignored string // the names of members that are not known, space between
	// WithOwnCertificate says that it came over a session with the certificate
	// that it speaks of, and not with the IDevID (RFC 8995, Section 5.9.4).
	WithOwnCertificate bool
}

// Evidence returns what is on record about a device's vouchers, by ID or serial
// number as in [Service.Device]. Whose entries an audit-log has is told by the
// settings in force.
func (s *Service) Evidence(ctx context.Context, domain, ref string) (*Evidence, error) {
	view, err := s.Device(ctx, domain, ref)
	if err != nil {
		return nil, err
	}
	v := s.current.Load()
	out := &Evidence{Device: view.Device, Reports: view.Reports}
	m := v.Manufacturers[view.Device.Manufacturer]
	if m == nil { // no longer configured
		m = &Manufacturer{}
	}
	nonces := make(map[string]bool, len(view.Vouchers))
	for _, row := range view.Vouchers {
		nonces[row.Nonce] = true
	}
	for _, row := range view.Vouchers {
		e := &ExchangeEvidence{Record: row}
		if format := v.format(row.MediaType); format != nil && row.Voucher != nil {
			if got, _, err := format.OpenVoucher(row.Voucher); err == nil {
				e.Voucher = got
			}
		}
		if log := recordedLog(row.AuditLog); log != nil {
			e.Events = v.find(m, log, nonces).events
			if log.Truncation != nil {
				e.LeftOut = log.Truncation.Arbitrary
			}
		}
		out.Exchanges = append(out.Exchanges, e)
	}
	return out, nil
}

// reports reads a device's telemetry off its trail.
func (s *Service) reports(ctx context.Context, v *version, device string) ([]*Report, error) {
	entries, err := s.lastEntries(ctx, v, device)
	if err != nil {
		return nil, err
	}
	var out []*Report
	for _, e := range entries {
		if e.Kind != KindVoucherStatus && e.Kind != KindEnrollStatus {
			continue
		}
		var body struct {
			Status  bool   `json:"status"`
			Version int    `json:"version"`
			Message string `json:"message"`
			Context string `json:"context"`
			Ignored string `json:"ignored"`
			Own     bool   `json:"with_own_certificate"`
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			return nil, err
		}
		out = append(out, &Report{e.At, e.Kind, body.Status, body.Version, body.Message, body.Context, body.Ignored, body.Own})
	}
	return out, nil
}
