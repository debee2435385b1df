package registrar

import (
	"context"
	"errors"

	"github.com/briskest/briskest/brski"
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
	if row.State == AheadReady || row.State == AheadRenewed {
		return row, nil // imported before
	}
	if d = s.checkImported(ctx, v, device, row, r.AuditLog); d == nil {
		return s.keepAhead(ctx, v, row, r.Actor)
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
		if (old.State == AheadReady || old.State == AheadRenewed) && string(old.Voucher) == string(r.Voucher) {
			return old, nil
		}
		if old.State == AheadOrdered {
			row = old
		}
	}
	row.MediaType, row.Voucher, row.AuditLog = r.MediaType, r.Voucher, nil
	return row, nil
}

func (s *Service) checkImported(ctx context.Context, v *version, device *Device, row *AheadVoucher, auditLog []byte) *Decision {
	m := v.Manufacturers[device.Manufacturer]
	idevid, err := device.certificate()
	if err != nil {
		return denyErr(ReasonInternal, "voucher", err)
	}
	if d := s.checkAhead(v, m, idevid, row); d != nil {
		return d
	}
	var log *brski.AuditLog
	if len(auditLog) > 0 {
		if log, err = brski.ParseAuditLog(auditLog); err != nil {
			return denyErr(ReasonAuditLog, "audit-log", err)
		}
	}
	held := &VoucherRecord{DeviceID: device.ID}
	if d := s.checkAuditLog(ctx, v, m, held, log, nil); d != nil && d.Verdict != Wait { // an operator is asked when the device comes
		return d
	}
	row.AuditLog = held.AuditLog
	return nil
}
