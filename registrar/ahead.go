package registrar

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
)

// AheadVoucher is a voucher without a nonce that is asked for before its device
// comes, for a site that does not reach the MASA then (RFC 8995, Section 5.5).
type AheadVoucher struct {
	ID           string // NewID
	Domain       string
	DeviceID     string
	Manufacturer string
	SerialNumber string
	State        string // one of the Ahead constants
	Reason       string // reason id when refused
	MediaType    string
	Request      []byte // the registrar's signed voucher-request; nil when the voucher came without one
	Renews       string // ID of the row whose voucher is in prior-signed-voucher-request (rfc8366bis, Section 10.1)
	Voucher      []byte // as received; nil until it is here
	AuditLog     []byte // as received; nil when there is none
	At           time.Time
	ReadyAt      time.Time // when the voucher came
	ExpiresOn    time.Time // of the voucher; zero for never
	RenewAt      time.Time // when to ask for the next one; zero for never
}

// The states of an AheadVoucher.
const (
	AheadOrdered = "ordered" // there is a request, and no answer
	AheadReady   = "ready"   // the voucher is here, checked
	AheadRefused = "refused" // by the MASA, or because what it sent is of no use
	AheadRenewed = "renewed" // a later one is ready
)

// checkAhead checks a voucher that is to be kept for its device: as one that
// answers a request without a nonce.
func (s *Service) checkAhead(v *version, m *Manufacturer, idevid *x509.Certificate, row *AheadVoucher) *Decision {
	x := &exchange{row: &VoucherRecord{SerialNumber: row.SerialNumber}, idevid: idevid}
	answer := &brski.Voucher{MediaType: row.MediaType, Raw: row.Voucher}
	if d := v.checkVoucher(m, x, answer, s.now()); d != nil {
		return d
	}
	row.MediaType = answer.MediaType
	got, _, err := v.format(row.MediaType).OpenVoucher(row.Voucher)
	if err != nil {
		return denyErr(ReasonVoucherMalformed, "voucher", err)
	}
	if row.ExpiresOn = got.ExpiresOn; !row.ExpiresOn.IsZero() {
		// With a third of its life left.
		row.RenewAt = row.ExpiresOn.Add(-row.ExpiresOn.Sub(s.now()) / 3).UTC()
	}
	return nil
}

// keepAhead records a voucher that has passed.
func (s *Service) keepAhead(ctx context.Context, v *version, row *AheadVoucher, actor string) (*AheadVoucher, error) {
	rows, err := s.store.AheadVouchers(ctx, v.Domain, row.DeviceID)
	if err != nil {
		return nil, err
	}
	row.State, row.Reason, row.ReadyAt = AheadReady, "", s.now().UTC()
	change := &Change{PutAhead: []*AheadVoucher{row}}
	for _, old := range rows {
		if old.State == AheadReady && old.ID != row.ID && old.MediaType == row.MediaType {
			renewed := *old
			renewed.State = AheadRenewed
			change.PutAhead = append(change.PutAhead, &renewed)
		}
	}
	b := newBody().str("ahead", row.ID).str("settings", v.Version).str("manufacturer", row.Manufacturer).str("serial_number", row.SerialNumber).
		num("bytes", len(row.Voucher)).boolean("audit_log", row.AuditLog != nil)
	if !row.ExpiresOn.IsZero() {
		b.time("expires_on", row.ExpiresOn)
	}
	change.Trail = []*trail.Entry{s.act(v, actor, KindVoucherReady, row.DeviceID, b)}
	return row, s.commit(ctx, change)
}

// refuseAhead records that an order got nothing that is of use.
func (s *Service) refuseAhead(ctx context.Context, v *version, row *AheadVoucher, d *Decision, actor string) error {
	row.State, row.Reason = AheadRefused, d.Reason
	row.ExpiresOn, row.RenewAt = time.Time{}, time.Time{}
	b := newBody().str("ahead", row.ID).str("settings", v.Version).str("serial_number", row.SerialNumber)
	if d.Err != nil {
		b.str("cause", ascii(d.Err.Error()))
	}
	entry := s.act(v, actor, KindVoucherRefused, row.DeviceID, b)
	entry.Reason = d.Reason
	return s.commit(ctx, &Change{PutAhead: []*AheadVoucher{row}, Trail: []*trail.Entry{entry}})
}

// fromAhead answers a pledge's request with the voucher that is ready for its
// device. False: there is none that is good for it.
func (s *Service) fromAhead(ctx context.Context, v *version, m *Manufacturer, x *exchange, out *VoucherRecord) (bool, *Decision) {
	if !m.AllowNonceless {
		return false, nil
	}
	rows, err := s.store.AheadVouchers(ctx, v.Domain, out.DeviceID)
	if err != nil {
		return false, denyErr(ReasonMASA, "ahead", err)
	}
	for _, row := range rows {
		if row.State != AheadReady || !slices.Contains(x.accept, row.MediaType) {
			continue
		}
		answer := &brski.Voucher{MediaType: row.MediaType, Raw: row.Voucher}
		if d := v.checkVoucher(m, x, answer, s.now()); d != nil {
			continue // expired, say; the operator sees when it ends
		}
		held := *out
		var log *brski.AuditLog
		if row.AuditLog != nil {
			if log, err = brski.ParseAuditLog(row.AuditLog); err != nil {
				continue
			}
		}
		d := s.checkAuditLog(ctx, v, m, &held, log, nil)
		if d != nil && d.Verdict != Wait {
			return true, d
		}
		*out = held
		out.Voucher, out.MediaType, x.ahead, x.log = row.Voucher, answer.MediaType, row.ID, log
		return true, d
	}
	return false, nil
}

// ListAheadVouchers returns up to limit rows (1 to 10000, which is also what
// anything else means) in order of ID, after the given ID.
func (s *Service) ListAheadVouchers(ctx context.Context, domain, after string, limit int) ([]*AheadVoucher, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.ListAheadVouchers(ctx, v.Domain, after, listLimit(limit))
}
