package registrar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// ErrInvalid says that an operator asked for something that makes no sense;
// the text says what.
var ErrInvalid = errors.New("registrar: the request is not valid")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrInvalid)
}

// inDomain checks that an operator's request is about this service's domain;
// an empty one means it. What another domain has does not exist here.
func (s *Service) inDomain(domain string) (*version, error) {
	v := s.current.Load()
	if domain != "" && domain != v.Domain {
		return nil, fmt.Errorf("domain %q: %w", domain, ErrNotFound)
	}
	return v, nil
}

// act is a trail entry about an operator's doing.
func (s *Service) act(v *version, actor, kind, device string, b *body) *trail.Entry {
	return &trail.Entry{At: s.now().UTC(), Domain: v.Domain, Kind: kind, Device: device, Actor: actor, Body: b.done()}
}

const maxList = 10000

func listLimit(limit int) int {
	if limit < 1 || limit > maxList {
		return maxList
	}
	return limit
}

// ListDevices returns up to limit devices (1 to 10000, which is also what
// anything else means) in order of ID, after the given ID.
func (s *Service) ListDevices(ctx context.Context, domain, after string, limit int) ([]*Device, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.ListDevices(ctx, v.Domain, after, listLimit(limit))
}

// DeviceView is a device with all that is on record about it.
type DeviceView struct {
	Device       *Device
	Owner        string // name, at a cloud registrar
	Certificates []*Certificate
	Slots        []*Slot // the certificates again, by what they are for
	Vouchers     []*VoucherRecord
	Reports      []*Report // telemetry, as in Evidence
}

// Device returns a device by its ID or its serial number. A serial number that
// several manufacturers use is ErrConflict; the ID tells them apart.
func (s *Service) Device(ctx context.Context, domain, ref string) (*DeviceView, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	devices, err := s.findDevices(ctx, v, ref)
	switch {
	case err != nil:
		return nil, err
	case len(devices) == 0:
		return nil, fmt.Errorf("device %q: %w", ref, ErrNotFound)
	case len(devices) > 1:
		return nil, fmt.Errorf("%d devices have the serial number %q; name one by its ID (%s, %s): %w",
			len(devices), ref, devices[0].ID, devices[1].ID, ErrConflict)
	}
	view := &DeviceView{Device: devices[0]}
	owner, err := found(s.store.DeviceOwner(ctx, v.Domain, view.Device.ID))
	if err != nil {
		return nil, err
	}
	if owner != nil {
		view.Owner = owner.Owner
	}
	view.Certificates, err = s.store.ListCertificates(ctx, &CertificateQuery{Domain: v.Domain, DeviceID: view.Device.ID, Limit: maxHeld})
	if err != nil {
		return nil, err
	}
	view.Slots = Slots(view.Certificates, s.now())
	if view.Vouchers, err = s.store.ListVouchers(ctx, v.Domain, view.Device.ID); err != nil {
		return nil, err
	}
	view.Reports, err = s.reports(ctx, v, view.Device.ID)
	return view, err
}

func (s *Service) findDevices(ctx context.Context, v *version, ref string) ([]*Device, error) {
	d, err := found(s.store.Device(ctx, v.Domain, ref))
	if err != nil {
		return nil, err
	}
	if d != nil {
		return []*Device{d}, nil
	}
	return s.store.FindDevices(ctx, v.Domain, ref)
}

// ListPending returns requests that wait, or in the given state ("" for all),
// newest first.
func (s *Service) ListPending(ctx context.Context, domain, state string, limit int) ([]*Pending, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	switch state {
	case "", StateWaiting, StateApproved, StateDenied:
		rows, err := s.store.ListPending(ctx, v.Domain, state, listLimit(limit))
		for _, p := range rows {
			if p.State == StateApproved && p.DecidedBy != byWebhook {
				p.ExpiresAt = p.expiry(v)
			}
		}
		return rows, err
	default:
		return nil, invalid("state %q; want waiting, approved or denied", state)
	}
}

// Verdicting is an operator's decision about a Pending.
type Verdicting struct {
	Domain string
	Actor  string
	ID     string // of the Pending
	Reason string // told to the device when denied; may be empty
}

// Approve lets a waiting request through when the device asks again. That of a
// voucher-request also puts the device into the inventory. A sighting of an
// unknown manufacturer cannot be approved: the manufacturer has to be configured.
func (s *Service) Approve(ctx context.Context, r *Verdicting) (*Pending, error) {
	return s.decidePending(ctx, r, StateApproved, KindRequestApproved)
}

// Deny refuses a waiting request from now on.
func (s *Service) Deny(ctx context.Context, r *Verdicting) (*Pending, error) {
	return s.decidePending(ctx, r, StateDenied, KindRequestDenied)
}

func (s *Service) decidePending(ctx context.Context, r *Verdicting, state, kind string) (*Pending, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	row, err := s.store.Pending(ctx, v.Domain, r.ID)
	if err != nil {
		return nil, fmt.Errorf("request %q: %w", r.ID, err)
	}
	key := deviceKey(row.Manufacturer, row.SerialNumber)
	unlock, err := s.devices.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if row, err = s.store.Pending(ctx, v.Domain, r.ID); err != nil {
		return nil, fmt.Errorf("request %q: %w", r.ID, err)
	}
	switch {
	case row.State == state:
		return row, nil // decided so before
	case row.State != StateWaiting:
		return nil, fmt.Errorf("request %q is %s since %s by %s: %w", r.ID, row.State, row.DecidedAt.UTC().Format(time.RFC3339), row.DecidedBy, ErrConflict)
	case row.Kind == PendingSighting && state == StateApproved:
		return nil, invalid("%q is a device of an unknown manufacturer; add the manufacturer to the configuration instead", r.ID)
	}
	change := &Change{}
	device, err := s.deviceOf(ctx, v, row)
	if err != nil {
		return nil, err
	}
	if device == nil && row.Kind == PendingVoucher && state == StateApproved {
		device = &Device{
			ID: NewID(s.now()), Domain: v.Domain, Manufacturer: row.Manufacturer, SerialNumber: row.SerialNumber,
			State: Expected, Source: "import", CreatedAt: s.now().UTC(),
		}
		change.PutDevices, change.Quota = []*Device{device}, v.quota()
	}
	trailDevice := StrangerID(v.Domain, row.Manufacturer, row.SerialNumber)
	if device != nil {
		trailDevice = device.ID
	}
	row.State, row.Reason, row.DecidedAt, row.DecidedBy = state, r.Reason, s.now().UTC(), r.Actor
	b := newBody().str("pending", row.ID).str("kind", row.Kind).str("serial_number", row.SerialNumber).str("subject", row.Subject).str("message", r.Reason)
	change.PutPending = []*Pending{row}
	change.Trail = []*trail.Entry{s.act(v, r.Actor, kind, trailDevice, b)}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, err
	}
	s.waiting.release(row)
	return row, nil
}

func (s *Service) deviceOf(ctx context.Context, v *version, p *Pending) (*Device, error) {
	if p.Kind == PendingSighting {
		return nil, nil //nolint:nilnil // no record is a fact here
	}
	return found(s.store.DeviceBySerialNumber(ctx, v.Domain, p.Manufacturer, p.SerialNumber))
}

// Status is how the service is doing.
type Status struct {
	Domain    string
	Settings  string // version in force
	Labels    []string
	Waiting   int              // requests that wait for a decision
	Exchanges int              // with MASAs, under way
	Refused   map[string]int64 // by reason id, since the process started
	Dropped   int64            // refusals that the trail did not get

	Devices           int // that count (Device.Counts)
	MaxDevices        int // Limits.Devices
	RequestsPerMinute int // Limits.RequestsPerMinute
}

// Status returns how the service is doing.
func (s *Service) Status(ctx context.Context, domain string) (*Status, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	out := &Status{
		Domain: v.Domain, Settings: v.Version, Exchanges: s.exchanges.count(),
		MaxDevices: v.Limits.Devices, RequestsPerMinute: v.Limits.RequestsPerMinute,
	}
	for name := range v.Labels {
		out.Labels = append(out.Labels, name)
	}
	out.Refused, out.Dropped = s.refusals.snapshot()
	if out.Waiting, err = s.store.CountPending(ctx, v.Domain); err != nil {
		return nil, err
	}
	out.Devices, err = s.store.CountDevices(ctx, v.Domain)
	return out, err
}

func (e *exchanges) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.byID)
}
