package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
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
	case device.State == Suspended, device.State == Decommissioned:
		return nil, nil, invalid("device %q is %s", device.SerialNumber, device.State)
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
	in := &ImportRequest{Domain: v.Domain, Actor: r.Actor, Manufacturer: m.Name}
	err = s.importBatch(ctx, v, in, []string{serial}, []ImportDevice{{SerialNumber: serial, IDevID: r.IDevID[0]}}, &ImportResult{})
	if err != nil {
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
	rows, err := s.store.AheadVouchers(ctx, v.Domain, device.ID)
	if err != nil {
		return nil, err
	}
	format := v.Formats[0]
	if r.MediaType != "" {
		if format = v.format(r.MediaType); format == nil {
			return nil, invalid("media type %q is not spoken here", r.MediaType)
		}
	}
	at := s.now().UTC()
	var ready *AheadVoucher
	for _, row := range rows {
		if row.State == AheadOrdered && at.Sub(row.At) < orderLifetime && row.MediaType == format.MediaType() {
			return row, nil
		}
		if row.State == AheadReady && row.MediaType == format.MediaType() && ready == nil {
			ready = row
		}
	}
	row := &AheadVoucher{
		ID: NewID(at), Domain: v.Domain, DeviceID: device.ID, Manufacturer: device.Manufacturer, SerialNumber: device.SerialNumber,
		State: AheadOrdered, MediaType: format.MediaType(), At: at,
	}
	request := &voucher.Request{Assertion: voucher.Logged, CreatedOn: at, SerialNumber: device.SerialNumber}
	if ready != nil {
		row.Renews, request.PriorSignedVoucherRequest = ready.ID, ready.Voucher
	}
	if device.IDevID != nil {
		idevid, err := x509.ParseCertificate(device.IDevID)
		if err != nil {
			return nil, fmt.Errorf("IDevID of %q: %w", device.SerialNumber, err)
		}
		if request.IDevIDIssuer, err = voucher.IDevIDIssuer(idevid); err != nil {
			return nil, fmt.Errorf("IDevID of %q: %w", device.SerialNumber, err)
		}
	}
	if row.Request, err = format.SignRequest(ctx, request, v.Signer); err != nil {
		return nil, fmt.Errorf("voucher-request for %q: %w", device.SerialNumber, err)
	}
	b := newBody().str("ahead", row.ID).str("settings", v.Version).str("serial_number", row.SerialNumber).str("renews", row.Renews)
	return row, s.commit(ctx, &Change{PutAhead: []*AheadVoucher{row}, Trail: []*trail.Entry{s.act(v, r.Actor, KindVoucherOrdered, device.ID, b)}})
}

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
	log, d := s.fetchFrom(within, v, m, device, &out)
	if d == nil {
		return s.keepAhead(ctx, v, m, device, &out, log, r.Actor)
	}
	c := &Case{Domain: v.Domain, Manufacturer: m, Device: device, SerialNumber: device.SerialNumber}
	if d.Reason == ReasonMASA {
		return nil, d.answer(c)
	}
	return nil, errors.Join(d.answer(c), s.refuseAhead(ctx, v, &out, d, r.Actor))
}

// fetchFrom asks the MASA for the voucher and the audit-log.
func (s *Service) fetchFrom(ctx context.Context, v *version, m *Manufacturer, device *Device, row *AheadVoucher) (*brski.AuditLog, *Decision) {
	var idevid *x509.Certificate
	url := m.MASAURL
	if device.IDevID != nil {
		var err error
		if idevid, err = x509.ParseCertificate(device.IDevID); err == nil {
			url, err = masaURL(m, idevid)
		}
		if err != nil {
			return nil, denyErr(ReasonMASAURL, "masa", err)
		}
	}
	if url == "" {
		return nil, denyErr(ReasonMASAURL, "masa", errors.New("there is neither a URL in the configuration nor an IDevID on record"))
	}
	masa, err := v.DialMASA(m, url)
	if err != nil {
		return nil, denyErr(ReasonMASA, "masa", err)
	}
	q := &brski.MASARequest{MediaType: row.MediaType, Raw: row.Request, Accept: []string{row.MediaType}, Registrar: v.Signer.Certificate, At: s.now()}
	answer, err := masa.RequestVoucher(ctx, q)
	if err != nil {
		return nil, masaRefusal(err)
	}
	if answer == nil || len(answer.Raw) == 0 {
		return nil, denyErr(ReasonMASAFailed, "masa", errors.New("an empty answer"))
	}
	row.MediaType, row.Voucher = answer.MediaType, answer.Raw
	if d := s.checkAhead(v, m, idevid, row); d != nil {
		return nil, d
	}
	log, err := masa.RequestAuditLog(ctx, q)
	held := &VoucherRecord{DeviceID: device.ID}
	if d := s.checkAuditLog(ctx, v, m, held, log, err); d != nil && d.Verdict != Wait { // an operator is asked when the device comes
		return nil, d
	}
	row.AuditLog = held.AuditLog
	return log, nil
}

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
func (s *Service) keepAhead(ctx context.Context, v *version, m *Manufacturer, device *Device, row *AheadVoucher, log *brski.AuditLog, actor string) (*AheadVoucher, error) {
	rows, err := s.store.AheadVouchers(ctx, v.Domain, device.ID)
	if err != nil {
		return nil, err
	}
	row.State, row.Reason, row.ReadyAt = AheadReady, "", s.now().UTC()
	change := &Change{PutAhead: []*AheadVoucher{row}}
	for _, old := range rows {
		if old.State == AheadReady && old.ID != row.ID {
			renewed := *old
			renewed.State = AheadRenewed
			change.PutAhead = append(change.PutAhead, &renewed)
		}
	}
	b := newBody().str("ahead", row.ID).str("settings", v.Version).str("manufacturer", m.Name).str("serial_number", row.SerialNumber).
		num("bytes", len(row.Voucher)).time("expires_on", row.ExpiresOn).boolean("audit_log", log != nil)
	change.Trail = []*trail.Entry{s.act(v, actor, KindVoucherReady, device.ID, b)}
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
		out.Voucher, out.MediaType, x.ahead = row.Voucher, answer.MediaType, row.ID
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
