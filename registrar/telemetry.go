package registrar

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
)

// status records the telemetry of RFC 8995, Sections 5.7 and 5.9.4. It takes
// it from devices with a voucher exchange, or with a certificate of ours, and
// from nobody else.
func (s *Service) status(ctx context.Context, r *brski.StatusReport, kind string) error {
	v := s.current.Load()
	c := callCase(v, &r.Call)
	if d := s.questionBudget(v, c); d != nil {
		return s.refuse(ctx, c, d)
	}
	d := s.identifyReporter(ctx, v, c, r, kind)
	if d == nil {
		d = s.recordStatus(ctx, v, c, r, kind)
	}
	if d != nil {
		return s.refuse(ctx, c, d)
	}
	return nil
}

func (s *Service) identifyReporter(ctx context.Context, v *version, c *Case, r *brski.StatusReport, kind string) *Decision {
	const rule = "telemetry"
	if len(r.Peer.Certificates) == 0 {
		return denyText(ReasonNoCertificate, rule, "telemetry is sent with the IDevID or the new certificate as TLS client certificate")
	}
	if d := s.identifyCertificate(ctx, v, c, r.Peer); d != nil {
		return d
	}
	switch {
	case c.Identity.Kind == IDevID:
		device, err := found(s.store.DeviceBySerialNumber(ctx, v.Domain, c.Manufacturer.Name, c.SerialNumber))
		if err != nil {
			return storeFailed(rule, err)
		}
		if device == nil {
			return deny(ReasonNotPending, rule)
		}
		if c.Device = device; c.OtherIDevID() {
			return deny(ReasonIDevIDMismatch, "same-idevid")
		}
	case kind == KindVoucherStatus:
		// RFC 8995, Section 5.7: sent before the pledge has a certificate of ours.
		c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
		return denyText(ReasonMethodNotAllowed, rule, "voucher status is sent with the IDevID")
	default:
		c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
	}
	return s.outOfService(c.Device, rule)
}

func (s *Service) recordStatus(ctx context.Context, v *version, c *Case, r *brski.StatusReport, kind string) *Decision {
	const rule, known = "telemetry", 1
	unlock, err := s.devices.lock(ctx, deviceKey(c.Device.Manufacturer, c.Device.SerialNumber))
	if err != nil {
		return storeFailed(rule, err)
	}
	defer unlock()
	row, err := found(s.store.LatestVoucher(ctx, v.Domain, c.Device.ID))
	switch {
	case err != nil:
		return storeFailed(rule, err)
	case row == nil && kind == KindVoucherStatus:
		return deny(ReasonNotPending, rule)
	}
	if row != nil && bytes.Equal(row.reported(kind), r.Raw) {
		return nil // sent again
	}
	// Each report that differs from the one before is a row and an entry.
	if wait, over := s.reported.exceeded(kind+"\x00"+c.Device.ID, reportsPerHour, c.At); over {
		return &Decision{Reason: ReasonDeviceBudget, Rule: "telemetry-budget", Message: "this device reported too often; report again later", RetryAfter: jitter(wait)}
	}
	s.reported.use(kind+"\x00"+c.Device.ID, c.At)
	change := &Change{}
	if row != nil {
		if kind == KindEnrollStatus {
			row.EnrollmentState = r.Raw
		} else {
			row.PledgeStatus = r.Raw
		}
		change.PutVouchers = []*VoucherRecord{row}
	}
	b := c.facts(v).boolean("status", r.Status.Status).num("version", r.Status.Version).str("message", clip(r.Status.Reason)).
		str("context", contextText(r.Status.ReasonContext)).
		// RFC 8995, Section 5.7: unknown fields are ignored, and in the log.
		str("ignored", strings.Join(r.Status.Ignored, " ")).
		// RFC 8995, Section 5.9.4: whether it came with the certificate it speaks of.
		boolean("with_own_certificate", c.Identity.Kind == LDevID)
	change.Trail = []*trail.Entry{c.entry(kind, "", b)}
	if err := s.commit(ctx, change); err != nil {
		return storeFailed(rule, err)
	}
	level := slog.LevelDebug // the handler has logged that it came
	if !r.Status.Status || r.Status.Version > known {
		level = slog.LevelWarn // RFC 8995, Section 5.7: a human should know
	}
	s.log.LogAttrs(ctx, level, "telemetry", slog.String("kind", kind), slog.String("device", c.Device.ID), slog.String("serial_number", c.SerialNumber),
		slog.Bool("status", r.Status.Status), slog.Int("version", r.Status.Version), slog.String("reason", clip(r.Status.Reason)))
	return nil
}

// contextText is a reason-context as people see it.
func contextText(c map[string]any) string {
	if len(c) == 0 {
		return ""
	}
	text, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	return clip(string(text))
}

// reportsPerHour bounds the reports of one kind that a device can change its mind with.
const reportsPerHour = 60

// reported is the latest telemetry of the kind.
func (r *VoucherRecord) reported(kind string) []byte {
	if kind == KindEnrollStatus {
		return r.EnrollmentState
	}
	return r.PledgeStatus
}
