package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
)

// VoucherImport brings a voucher without a nonce that was carried here.
type VoucherImport struct {
	Domain    string
	Actor     string
	MediaType string
	Voucher   []byte
	AuditLog  []byte // the device's audit-log, where the manufacturer sent it along; nil for none
}

// ImportVoucher checks a voucher as if the MASA had just sent it (signer, serial
// number of a device on record, pin, assertion, end, audit-log by the
// manufacturer's policy) and keeps it for the device, which gets it when the
// MASA cannot be reached or is not to be asked. One that fails a check is
// refused with an *est.Error, and leaves an entry on the trail.
func (s *Service) ImportVoucher(ctx context.Context, r *VoucherImport) (*AheadVoucher, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	m, device, d := s.importedDevice(ctx, v, r)
	if d != nil {
		return nil, d.answer(&Case{Domain: v.Domain})
	}
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return nil, err
	}
	defer unlock()
	row, err := s.importRow(ctx, v, device, r)
	if err != nil {
		return nil, err
	}
	if row.State == AheadReady {
		return row, nil // imported before
	}
	log, d := s.checkImported(ctx, v, m, device, row, r)
	if d == nil {
		return s.keepAhead(ctx, v, m, device, row, log, r.Actor)
	}
	// The order stays open: the right voucher may come yet.
	failed := *row
	failed.ID, failed.Request, failed.Renews = NewID(s.now()), nil, ""
	answer := d.answer(&Case{Domain: v.Domain, Manufacturer: m, Device: device, SerialNumber: device.SerialNumber})
	return nil, errors.Join(answer, s.refuseAhead(ctx, v, &failed, d, r.Actor))
}

// importedDevice finds the manufacturer that signed a voucher and the device
// that it is for.
func (s *Service) importedDevice(ctx context.Context, v *version, r *VoucherImport) (*Manufacturer, *Device, *Decision) {
	const rule = "voucher"
	format := v.format(r.MediaType)
	if format == nil {
		return nil, nil, denyErr(ReasonVoucherMalformed, rule, errors.New("its media type is not spoken here"))
	}
	got, artifact, err := format.OpenVoucher(r.Voucher)
	if err != nil {
		return nil, nil, denyErr(ReasonVoucherMalformed, rule, err)
	}
	known := false
	for _, m := range v.manufacturers {
		if _, err := artifact.VerifySigner(m.VoucherAnchors, s.now()); err != nil {
			continue
		}
		known = true
		device, err := found(s.store.DeviceBySerialNumber(ctx, v.Domain, m.Name, got.SerialNumber))
		switch {
		case err != nil:
			return nil, nil, storeFailed(rule, err)
		case device == nil:
			continue
		case !m.AllowNonceless:
			return nil, nil, denyText(ReasonVoucherNonce, rule, "vouchers of this manufacturer need a nonce here; set allow_nonceless for it")
		}
		return m, device, nil
	}
	if !known {
		return nil, nil, deny(ReasonVoucherSigner, rule)
	}
	return nil, nil, denyText(ReasonDeviceUnlisted, rule, "the voucher is for the serial number "+got.SerialNumber+", which is not in the inventory; import the device first")
}

// importRow returns the row a voucher belongs to: the one that has it already,
// that of the oldest open order, or a new one.
func (s *Service) importRow(ctx context.Context, v *version, device *Device, r *VoucherImport) (*AheadVoucher, error) {
	rows, err := s.store.AheadVouchers(ctx, v.Domain, device.ID)
	if err != nil {
		return nil, err
	}
	at := s.now().UTC()
	row := &AheadVoucher{
		ID: NewID(at), Domain: v.Domain, DeviceID: device.ID, Manufacturer: device.Manufacturer, SerialNumber: device.SerialNumber, At: at,
	}
	for _, old := range rows { // newest first
		if old.State == AheadReady && string(old.Voucher) == string(r.Voucher) {
			return old, nil
		}
		if old.State == AheadOrdered {
			row = old
		}
	}
	row.MediaType, row.Voucher, row.AuditLog = r.MediaType, r.Voucher, nil
	return row, nil
}

func (s *Service) checkImported(ctx context.Context, v *version, m *Manufacturer, device *Device, row *AheadVoucher, r *VoucherImport) (*brski.AuditLog, *Decision) {
	var idevid *x509.Certificate
	if device.IDevID != nil {
		var err error
		if idevid, err = x509.ParseCertificate(device.IDevID); err != nil {
			return nil, denyErr(ReasonInternal, "voucher", err)
		}
	}
	if d := s.checkAhead(v, m, idevid, row); d != nil {
		return nil, d
	}
	var log *brski.AuditLog
	if len(r.AuditLog) > 0 {
		var err error
		if log, err = brski.ParseAuditLog(r.AuditLog); err != nil {
			return nil, denyErr(ReasonAuditLog, "audit-log", err)
		}
	}
	held := &VoucherRecord{DeviceID: device.ID}
	if d := s.checkAuditLog(ctx, v, m, held, log, nil); d != nil && d.Verdict != Wait { // an operator is asked when the device comes
		return nil, d
	}
	row.AuditLog = held.AuditLog
	return log, nil
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
