package registrar

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
)

// FetchVoucher is [Service.OrderVoucher] that asks the MASA at once and returns
// the voucher, checked and on record. What the MASA refuses, and what is wrong
// with its answer, is an *est.Error; after one with status 202 or 504 the same order may be tried again.
func (s *Service) FetchVoucher(ctx context.Context, r *VoucherOrder) (*AheadVoucher, error) {
	v, device, err := s.orderedDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.fetch(ctx, v, device, r)
}

// fetch orders and asks the MASA; the device's lock is held.
func (s *Service) fetch(ctx context.Context, v *version, device *Device, r *VoucherOrder) (*AheadVoucher, error) {
	row, err := s.order(ctx, v, device, r)
	if err != nil {
		return nil, err
	}
	m := v.Manufacturers[device.Manufacturer]
	within, cancel := context.WithTimeout(ctx, v.Limits.MASATimeout)
	defer cancel()
	out := *row
	d := s.fetchFrom(within, v, device, &out)
	if d == nil {
		return s.keepAhead(ctx, v, &out, r.Actor)
	}
	c := &Case{Domain: v.Domain, Manufacturer: m, Device: device, SerialNumber: device.SerialNumber}
	if d.Reason == ReasonMASA {
		return nil, d.answer(c)
	}
	return nil, errors.Join(d.answer(c), s.refuseAhead(ctx, v, &out, d, r.Actor))
}

// fetchFrom asks the MASA for the voucher and the audit-log.
func (s *Service) fetchFrom(ctx context.Context, v *version, device *Device, row *AheadVoucher) *Decision {
	m := v.Manufacturers[device.Manufacturer]
	idevid, err := device.certificate()
	url := m.MASAURL
	if err == nil && idevid != nil {
		url, err = v.masaURL(m, idevid)
	}
	if err != nil {
		return denyErr(ReasonMASAURL, "masa", err)
	}
	if url == "" {
		return denyErr(ReasonMASAURL, "masa", errors.New("there is neither a URL in the configuration nor an IDevID on record"))
	}
	masa, err := v.DialMASA(m, url)
	if err != nil {
		return denyErr(ReasonMASA, "masa", err)
	}
	q := &brski.MASARequest{MediaType: row.MediaType, Raw: row.Request, Accept: []string{row.MediaType}, Registrar: v.Signer.Certificate, At: s.now()}
	answer, err := masa.RequestVoucher(ctx, q)
	if err != nil {
		return masaRefusal(err)
	}
	if answer == nil || len(answer.Raw) == 0 {
		return denyErr(ReasonMASAFailed, "masa", errors.New("an empty answer"))
	}
	row.MediaType, row.Voucher = answer.MediaType, answer.Raw
	if d := s.checkAhead(v, m, idevid, row); d != nil {
		return d
	}
	log, err := masa.RequestAuditLog(ctx, q)
	held := &VoucherRecord{DeviceID: device.ID}
	if d := s.checkAuditLog(ctx, v, m, held, log, err); d != nil && d.Verdict != Wait { // an operator is asked when the device comes
		return d
	}
	row.AuditLog = held.AuditLog
	return nil
}

// renewEach is how often the service looks for vouchers that end soon.
const renewEach = 10 * time.Minute

// renewAhead asks for new vouchers in place of those that end soon, of devices
// that have not joined yet, until the service ends.
func (s *Service) renewAhead() {
	for {
		if err := s.renewDue(); err != nil && s.life.Err() == nil {
			s.log.ErrorContext(s.life, "vouchers without a nonce not renewed", slog.Any("error", err))
		}
		if !s.pause(jitter(renewEach)) {
			return
		}
	}
}

func (s *Service) renewDue() error {
	const batch = 100
	v := s.current.Load()
	rows, err := s.store.AheadVouchersDue(s.life, v.Domain, s.now(), batch)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if s.life.Err() != nil {
			return s.life.Err()
		}
		if err := s.renewOne(row); err != nil {
			return err
		}
	}
	return nil
}

// renewOne renews a voucher that ends soon, or puts off looking at it again.
func (s *Service) renewOne(due *AheadVoucher) error {
	unlock, err := s.devices.lock(s.life, deviceKey(due.Manufacturer, due.SerialNumber))
	if err != nil {
		return err
	}
	defer unlock()
	v := s.current.Load()
	device, err := s.store.Device(s.life, due.Domain, due.DeviceID)
	if err != nil {
		return err
	}
	attrs := []any{slog.String("serial_number", due.SerialNumber), slog.Time("expires_on", due.ExpiresOn)}
	m := v.Manufacturers[due.Manufacturer]
	switch wanted := device.State == Expected || device.State == Vouched; {
	case m == nil, !wanted, !m.AllowNonceless, !s.now().Before(due.ExpiresOn):
		return s.putOff(due, time.Time{})
	case m.Offline:
		s.log.WarnContext(s.life, "a voucher without a nonce ends soon; order its renewal (briskest voucher request) and import it", attrs...)
		return s.putOff(due, s.later(due))
	}
	_, err = s.fetch(s.life, v, device, &VoucherOrder{Actor: "renewal", MediaType: due.MediaType})
	var refused *est.Error
	switch {
	case err == nil:
		s.log.InfoContext(s.life, "a voucher without a nonce was renewed", attrs...)
		return nil
	case errors.As(err, &refused):
		s.log.WarnContext(s.life, "a voucher without a nonce that ends soon was not renewed", append(attrs, slog.Any("error", err))...)
		return s.putOff(due, s.later(due))
	default:
		return err
	}
}

// later is when to try a renewal again: after a tenth of what is left, but not
// within the time of one look.
func (s *Service) later(due *AheadVoucher) time.Time {
	return s.now().Add(max(renewEach, due.ExpiresOn.Sub(s.now())/10)).UTC()
}

func (s *Service) putOff(due *AheadVoucher, until time.Time) error {
	changed := *due
	changed.RenewAt = until
	return s.commit(s.life, &Change{PutAhead: []*AheadVoucher{&changed}})
}
