package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// VoucherOrder asks for a voucher ahead of a device.
type VoucherOrder struct {
	Domain string
	Actor  string
	// Device is the ID or serial number of a device on record; empty with IDevID.
	Device string
	// IDevID is the certificate of a device of a configured manufacturer, DER,
	// and after it intermediate CAs that its manufacturer's anchors lack. The
	// device comes into the inventory if it is not there.
	IDevID [][]byte
	// MediaType is the encoding; empty for the one that Settings prefers.
	MediaType string
}

// orderLifetime is how long an order without an answer is handed out again
// instead of a new one.
const orderLifetime = 24 * time.Hour

// OrderVoucher returns a signed voucher-request without a nonce for a device
// (RFC 8995, Section 5.5), for somebody to carry to the manufacturer. It is on
// record before it is returned, and asking again within a day returns the same
// one. Where a voucher of the device is ready already, the request asks for its
// renewal: it has the voucher in prior-signed-voucher-request (rfc8366bis,
// Section 10.1). ErrInvalid where the manufacturer's vouchers need a nonce here.
func (s *Service) OrderVoucher(ctx context.Context, r *VoucherOrder) (*AheadVoucher, error) {
	v, device, err := s.orderedDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.order(ctx, v, device, r)
}

// orderedDevice finds the device that an order is for, or makes its record.
func (s *Service) orderedDevice(ctx context.Context, r *VoucherOrder) (*version, *Device, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, nil, err
	}
	ref := r.Device
	if len(r.IDevID) > 0 {
		var err error
		if ref, err = s.importOrdered(ctx, v, r); err != nil {
			return nil, nil, err
		}
	}
	view, err := s.Device(ctx, v.Domain, ref)
	if err != nil {
		return nil, nil, err
	}
	device := view.Device
	m := v.Manufacturers[device.Manufacturer]
	switch {
	case m == nil:
		return nil, nil, invalid("device %q is of no manufacturer that is configured", device.SerialNumber)
	case !m.AllowNonceless:
		return nil, nil, invalid("vouchers of %q need a nonce here; set allow_nonceless for the manufacturer", m.Name)
	}
	if d := s.outOfService(device, "voucher"); d != nil {
		return nil, nil, invalid("device %q is out of service: %s", device.SerialNumber, d.Reason)
	}
	return v, device, nil
}

// importOrdered brings the device of an IDevID into the inventory, and returns
// its ID.
func (s *Service) importOrdered(ctx context.Context, v *version, r *VoucherOrder) (string, error) {
	m, serial, err := v.makerOf(r.IDevID, s.now())
	if err != nil {
		return "", invalid("the IDevID: %v", err)
	}
	in := &ImportRequest{
		Domain: v.Domain, Actor: r.Actor, Manufacturer: m.Name, Devices: []ImportDevice{{SerialNumber: serial, IDevID: r.IDevID[0]}},
	}
	cert, err := x509.ParseCertificate(r.IDevID[0])
	if err != nil {
		return "", invalid("the IDevID: %v", err)
	}
	// By makerOf, with the intermediate CAs that came along.
	in.Checked = v.checkedIDevIDs(in, []importRow{{serial: serial, module: HardwareModule(cert)}})
	if _, err = s.ImportDevices(ctx, in); err != nil {
		return "", err
	}
	device, err := s.store.DeviceBySerialNumber(ctx, v.Domain, m.Name, serial)
	if err != nil {
		return "", err
	}
	return device.ID, nil
}

// makerOf finds the manufacturer whose anchors an IDevID chains to.
func (v *version) makerOf(idevid [][]byte, at time.Time) (*Manufacturer, string, error) {
	var certs []*x509.Certificate
	for _, der := range idevid[:min(len(idevid), voucher.MaxCertificates)] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, "", err
		}
		certs = append(certs, cert)
	}
	last := errors.New("no manufacturer is configured")
	for _, m := range v.manufacturers {
		options := m.options(certs[0], at)
		options.Intermediates = x509.NewCertPool()
		for _, c := range certs[1:] {
			options.Intermediates.AddCert(c)
		}
		if _, last = certs[0].Verify(options); last == nil {
			serial, err := voucher.SerialNumber(certs[0])
			return m, serial, err
		}
	}
	return nil, "", last
}

// order signs a request and records it; the device's lock is held.
func (s *Service) order(ctx context.Context, v *version, device *Device, r *VoucherOrder) (*AheadVoucher, error) {
	format := v.Formats[0]
	if r.MediaType != "" {
		if format = v.format(r.MediaType); format == nil {
			return nil, invalid("media type %q is not spoken here", r.MediaType)
		}
	}
	rows, err := s.store.AheadVouchers(ctx, v.Domain, device.ID)
	if err != nil {
		return nil, err
	}
	at := s.now().UTC()
	row := &AheadVoucher{
		ID: NewID(at), Domain: v.Domain, DeviceID: device.ID, Manufacturer: device.Manufacturer, SerialNumber: device.SerialNumber,
		State: AheadOrdered, MediaType: format.MediaType(), At: at,
	}
	request := &voucher.Request{Assertion: voucher.Logged, CreatedOn: at, SerialNumber: device.SerialNumber}
	for _, old := range rows { // newest first
		switch {
		case old.MediaType != row.MediaType:
		case old.State == AheadOrdered && at.Sub(old.At) < orderLifetime:
			return old, nil
		case old.State == AheadReady && row.Renews == "":
			row.Renews, request.PriorSignedVoucherRequest = old.ID, old.Voucher
		}
	}
	if request.IDevIDIssuer, err = device.issuer(); err != nil {
		return nil, err
	}
	if row.Request, err = format.SignRequest(ctx, request, v.Signer); err != nil {
		return nil, fmt.Errorf("voucher-request for %q: %w", device.SerialNumber, err)
	}
	b := newBody().str("ahead", row.ID).str("settings", v.Version).str("serial_number", row.SerialNumber).str("renews", row.Renews)
	return row, s.commit(ctx, &Change{PutAhead: []*AheadVoucher{row}, Trail: []*trail.Entry{s.act(v, r.Actor, KindVoucherOrdered, device.ID, b)}})
}

// issuer is the leaf idevid-issuer of a device whose IDevID is on record; nil
// for others.
func (d *Device) issuer() ([]byte, error) {
	idevid, err := d.certificate()
	if idevid == nil || err != nil {
		return nil, err
	}
	issuer, err := voucher.IDevIDIssuer(idevid)
	if err != nil {
		return nil, fmt.Errorf("IDevID of %q: %w", d.SerialNumber, err)
	}
	return issuer, nil
}

// certificate is the IDevID on record; nil for none.
func (d *Device) certificate() (*x509.Certificate, error) {
	if d.IDevID == nil {
		return nil, nil //nolint:nilnil // none is no error
	}
	idevid, err := x509.ParseCertificate(d.IDevID)
	if err != nil {
		return nil, fmt.Errorf("IDevID of %q: %w", d.SerialNumber, err)
	}
	return idevid, nil
}
