package registrar

import (
	"context"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
)

// handOut answers with the outcome of an exchange. A voucher that is held is
// decided about first, and the certificate that a pledge sees which names none
// is once more held against what its voucher pins.
func (s *Service) handOut(ctx context.Context, v *version, c *Case, row *VoucherRecord) (*brski.Voucher, *Decision) {
	if row.State == voucherHeld {
		var d *Decision
		if row, d = s.decideHeld(ctx, v, c, row); d != nil {
			return nil, d
		}
	}
	if row.State == voucherIssued && (c.server == nil || v.Cloud != nil) {
		if d := v.pinnedOnFile(c.Manufacturer, c.owner, row); d != nil {
			return nil, d
		}
	}
	return answerFromRecord(v, c, row)
}

// decideHeld decides about a voucher that is held because of the audit-log, by
// the rules as they are now and by what an operator has decided since. It returns
// the exchange as it stands then, or a Wait that is on record.
func (s *Service) decideHeld(ctx context.Context, v *version, c *Case, held *VoucherRecord) (*VoucherRecord, *Decision) {
	const rule = "audit-log"
	unlock, err := s.devices.lockAmong(ctx, deviceKey(held.Manufacturer, held.SerialNumber), perDeviceQueue)
	if err != nil {
		d := overloaded("device-lock")
		d.Err = err
		return nil, d
	}
	defer unlock()
	row, err := s.store.VoucherByRequest(ctx, v.Domain, held.RequestHash)
	switch {
	case err != nil:
		return nil, storeFailed(rule, err)
	case row.State != voucherHeld:
		return row, nil // decided meanwhile
	}
	f, err := s.findings(ctx, v, c.Manufacturer, row, recordedLog(row.AuditLog))
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	d := c.Manufacturer.AuditLog.judge(f)
	if d != nil && d.Verdict == Wait {
		if d = s.resolveHeld(ctx, v, c, row, f, d); d.Verdict == Wait {
			return nil, d
		}
		if d.Verdict != Allow && d.Reason != ReasonApprovalDenied {
			return nil, d // the record failed, or there is no room on it
		}
	}
	return s.settleHeld(ctx, v, c, row, d)
}

// resolveHeld is [Service.resolve] for a held voucher. What an operator decides
// is about these findings: with others the device waits anew.
func (s *Service) resolveHeld(ctx context.Context, v *version, c *Case, held *VoucherRecord, f *findings, d *Decision) *Decision {
	p := c.pending()
	p.Kind, p.Key = PendingAuditLog, p.Key+"\x00"+f.key()
	p.Evidence, p.Reason = held.AuditLog, d.Reason
	row, err := found(s.store.PendingByKey(ctx, v.Domain, p.Kind, p.Key))
	if err != nil {
		return storeFailed("pending", err)
	}
	wait := &Decision{Verdict: Wait, Reason: ReasonApproval, Rule: d.Rule, WaitFor: ForApproval, RetryAfter: v.Limits.PollAfter, Err: d.Err}
	if row != nil {
		p = row
		if row.counts(v, c.At) {
			return row.decision(wait)
		}
	}
	return s.keepWaiting(ctx, v, c, p, wait)
}

// settleHeld puts on record what became of a held voucher: d is nil or an Allow
// for handing it out, or the refusal.
func (s *Service) settleHeld(ctx context.Context, v *version, c *Case, held *VoucherRecord, d *Decision) (*VoucherRecord, *Decision) {
	row := *held
	row.State, row.Reason = voucherIssued, ""
	kind, change := KindVoucherIssued, &Change{PutVouchers: []*VoucherRecord{&row}}
	b := c.facts(v).str("voucher", row.ID).str("held_for", held.Reason).num("bytes", len(row.Voucher)).num("other_domains", v.foreign(c.Manufacturer, recordedLog(row.AuditLog)))
	if d != nil && d.Verdict != Allow {
		kind, row.State, row.Reason = KindVoucherRefused, voucherRefused, d.Reason
		if d.Err != nil {
			b.str("cause", ascii(d.Err.Error()))
		}
	} else if err := s.vouch(ctx, change, &row); err != nil {
		return nil, storeFailed("audit-log", err)
	}
	change.Trail = []*trail.Entry{c.entry(kind, row.Reason, b)}
	if err := s.commit(ctx, change); err != nil {
		return nil, storeFailed("audit-log", err)
	}
	if d != nil && d.Verdict != Allow {
		return nil, d // with the operator's words
	}
	return &row, nil
}

// vouch has the change note that the device has a voucher.
func (s *Service) vouch(ctx context.Context, change *Change, row *VoucherRecord) error {
	device, err := s.store.Device(ctx, row.Domain, row.DeviceID)
	if err != nil {
		return err
	}
	if device.State == Expected {
		device.State = Vouched
		change.PutDevices = []*Device{device}
	}
	return nil
}
