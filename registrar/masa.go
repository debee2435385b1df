package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// exchange is one voucher-request on its way to a MASA. It outlives the
// pledge's request; a pledge that asks again joins it.
type exchange struct {
	life   context.Context // the service's, in the trace of who asked first
	row    *VoucherRecord  // as recorded; never changed
	idevid *x509.Certificate
	accept []string          // media types of the voucher
	server *x509.Certificate // that the pledge saw, by its request; nil where that is not known
	owner  *Owner            // whose EST server the voucher is to name, at a cloud registrar; of the goroutine that runs it
	ahead  string            // ID of the AheadVoucher that answered it; empty for none; of the goroutine that runs it
	log    *brski.AuditLog   // what the latest answer has as audit-log; nil for none; of the goroutine that runs it

	tried   chan struct{}  // closed when the MASA could not be reached at the first try
	done    chan struct{}  // closed when there is an outcome
	outcome *VoucherRecord // set before done is closed
}

// startExchange runs an exchange that is on record, as a part of the trace of
// ctx and not of its life; its place is reserved.
func (s *Service) startExchange(ctx context.Context, row *VoucherRecord, idevid, server *x509.Certificate, accept []string) *exchange {
	x := &exchange{life: s.tracer.Continue(s.life, ctx), row: row, idevid: idevid, server: server, accept: accept, tried: make(chan struct{}), done: make(chan struct{})}
	s.exchanges.put(x)
	s.tasks.Go(func() {
		defer s.exchanges.remove(x)
		s.run(x)
	})
	return x
}

// resumeExchanges takes up what was unanswered when the process last ended.
func (s *Service) resumeExchanges(open []*VoucherRecord) {
	for _, row := range open {
		v := s.current.Load()
		if row.Domain != v.Domain || s.exchanges.find(row.ID) != nil {
			continue
		}
		for !s.exchanges.reserveAny(v.Limits.Exchanges, row.Manufacturer, row.SerialNumber) {
			if !s.pause(time.Second) {
				return
			}
		}
		idevid, err := s.recordedIDevID(row)
		if err != nil {
			s.exchanges.release(row.Manufacturer, row.SerialNumber)
			s.log.ErrorContext(s.life, "voucher exchange not resumed", slog.String("voucher", row.ID), slog.Any("error", err))
			continue
		}
		s.startExchange(s.life, row, idevid, nil, []string{row.MediaType})
	}
}

func (s *Service) recordedIDevID(row *VoucherRecord) (*x509.Certificate, error) {
	device, err := s.store.Device(s.life, row.Domain, row.DeviceID)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(device.IDevID)
}

// run asks the MASA until there is an outcome on record, it is time to give
// up, or the service ends.
func (s *Service) run(x *exchange) {
	told := false
	for try := 0; ; try++ {
		v := s.current.Load()
		wait := v.Limits.MASARetry << min(try, 3)
		out, err := s.try(v, x)
		if err == nil {
			x.outcome = out
			close(x.done)
			return
		}
		s.log.WarnContext(s.life, "MASA not reached", slog.String("voucher", x.row.ID), slog.String("manufacturer", x.row.Manufacturer), slog.Any("error", err))
		if !told {
			told = true
			close(x.tried)
		}
		if !s.pause(jitter(max(wait, wished(err)))) {
			return
		}
	}
}

// wished is how long a MASA that answered wants to be left alone.
func wished(err error) time.Duration {
	const most = 10 * time.Minute
	var e *brski.MASAError
	if errors.As(err, &e) {
		return min(e.RetryAfter, most)
	}
	return 0
}

// try makes one attempt. An error means that trying again may help.
func (s *Service) try(v *version, x *exchange) (*VoucherRecord, error) {
	out := *x.row
	if s.now().Sub(x.row.At) > v.Limits.MASAGiveUp {
		out.State, out.Reason = voucherFailed, ReasonMASAGaveUp
		return s.conclude(v, x, &out, nil)
	}
	ctx, cancel := context.WithTimeout(x.life, v.Limits.MASATimeout)
	defer cancel()
	ctx, end := s.tracer.Span(ctx, "masa")
	cause := s.askMASA(ctx, v, x, &out)
	if cause != nil {
		end(cause.Err)
	} else {
		end(nil)
	}
	switch {
	case cause == nil:
		out.State = voucherIssued
	case cause.Reason == ReasonMASA:
		return nil, cause.Err
	case cause.Verdict == Wait:
		out.State, out.Reason = voucherHeld, cause.Reason
	default:
		out.State, out.Reason = voucherRefused, cause.Reason
	}
	return s.conclude(v, x, &out, cause)
}

// askMASA fills in voucher and audit-log. It returns nil, a refusal, a Wait for
// an operator, or ReasonMASA for what may pass.
func (s *Service) askMASA(ctx context.Context, v *version, x *exchange, out *VoucherRecord) *Decision {
	x.ahead, x.log = "", nil
	m := v.Manufacturers[out.Manufacturer]
	if m == nil {
		return denyErr(ReasonUnknownManufacturer, "manufacturer", errors.New("the manufacturer is no longer configured"))
	}
	d := denyErr(ReasonMASA, "masa", errors.New("the MASA is not asked, and no voucher is ready for the device; import one"))
	if !m.Offline {
		d = s.askOnline(ctx, v, m, x, out)
	}
	if d == nil || d.Reason != ReasonMASA || out.Voucher != nil {
		return d
	}
	if answered, refusal := s.fromAhead(ctx, v, m, x, out); answered || refusal != nil {
		return refusal
	}
	return d
}

// askOnline asks the MASA over the wire.
func (s *Service) askOnline(ctx context.Context, v *version, m *Manufacturer, x *exchange, out *VoucherRecord) *Decision {
	url, err := v.masaURL(m, x.idevid)
	if err != nil {
		return denyErr(ReasonMASAURL, "masa", err)
	}
	masa, err := v.DialMASA(m, url)
	if err != nil {
		return denyErr(ReasonMASA, "masa", err)
	}
	q := &brski.MASARequest{MediaType: out.MediaType, Raw: out.RegistrarReq, Accept: x.accept, Registrar: v.Signer.Certificate, At: s.now()}
	answer, err := masa.RequestVoucher(ctx, q)
	if err != nil {
		return masaRefusal(err)
	}
	if answer == nil || len(answer.Raw) == 0 { // nqminds answers 200 with nothing
		return denyErr(ReasonMASAFailed, "masa", errors.New("an empty answer"))
	}
	if v.Cloud != nil {
		if x.owner, err = s.ownerOf(ctx, v, out.DeviceID); err != nil && !errors.Is(err, errOwnerGone) {
			return denyErr(ReasonMASA, "owner", err) // of the store; tried again
		}
	}
	out.Voucher = answer.Raw
	if d := v.checkVoucher(m, x, answer, s.now()); d != nil {
		return d
	}
	out.MediaType = answer.MediaType
	log, err := masa.RequestAuditLog(ctx, q)
	if err == nil {
		x.log = log
	}
	return s.checkAuditLog(ctx, v, m, out, log, err)
}

// masaRefusal tells what may pass from what does not, and keeps the MASA's
// status where the pledge can use it.
func masaRefusal(err error) *Decision {
	const rule = "masa"
	var e *est.Error
	switch {
	case errors.Is(err, brski.ErrMASAUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return denyErr(ReasonMASA, rule, err)
	case !errors.As(err, &e):
		return denyErr(ReasonMASAFailed, rule, err)
	}
	switch e.Status {
	case http.StatusAccepted, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return denyErr(ReasonMASA, rule, err)
	case http.StatusForbidden:
		return denyErr(ReasonMASARefused, rule, err)
	case http.StatusNotFound:
		return denyErr(ReasonMASAUnknown, rule, err)
	case http.StatusNotAcceptable:
		return denyErr(ReasonMASANotAcceptable, rule, err)
	default:
		// A 401 among them: the operator has to look, the pledge cannot help it.
		return denyErr(ReasonMASAFailed, rule, err)
	}
}

// conclude puts the outcome on record, with the device's state.
func (s *Service) conclude(v *version, x *exchange, out *VoucherRecord, cause *Decision) (*VoucherRecord, error) {
	unlock, err := s.devices.lock(s.life, deviceKey(out.Manufacturer, out.SerialNumber))
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx := context.WithoutCancel(s.life)
	kind, change := KindVoucherIssued, &Change{PutVouchers: []*VoucherRecord{out}}
	b := newBody().str("voucher", out.ID).str("settings", v.Version).str("serial_number", out.SerialNumber).num("bytes", len(out.Voucher))
	if out.State == voucherIssued {
		if err := s.vouch(ctx, change, out); err != nil {
			return nil, err
		}
	}
	switch out.State {
	case voucherIssued, voucherHeld:
		b.str("ahead", x.ahead).boolean("audit_log", out.AuditLog != nil)
		if m := v.Manufacturers[out.Manufacturer]; m != nil {
			b.num("other_domains", v.foreign(m, x.log))
		}
	}
	switch out.State {
	case voucherIssued:
	case voucherHeld:
		kind = KindVoucherHeld
	default:
		kind = KindVoucherRefused
	}
	if cause != nil && cause.Err != nil {
		b.str("cause", ascii(cause.Err.Error()))
	}
	change.Trail = []*trail.Entry{{
		At: s.now().UTC(), Domain: out.Domain, Kind: kind, Device: out.DeviceID, Actor: "brski", Reason: out.Reason, Body: b.done(),
	}}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("record the voucher exchange: %w", err)
	}
	s.log.InfoContext(ctx, "voucher exchange ended", slog.String("voucher", out.ID), slog.String("serial_number", out.SerialNumber),
		slog.String("state", out.State), slog.String("reason", out.Reason))
	return out, nil
}

// accepts tells whether the manufacturer's vouchers may carry the assertion.
func (m *Manufacturer) accepts(a voucher.Assertion) bool { return slices.Contains(m.Assertions, a) }
