package masa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
)

const maxText = 400

// ErrInvalid says that an operator's request cannot be carried out as it
// stands; the text says what to change.
var ErrInvalid = errors.New("masa: invalid")

// MaxPage is the most rows that a list returns at once.
const MaxPage = 10000

// DeviceRef names a device for an operator.
type DeviceRef struct {
	Product      string `json:"product,omitempty"` // may be empty where the serial number is that of one product only
	SerialNumber string `json:"serial_number"`
}

// Page is a part of a list.
type Page struct {
	After string `json:"after,omitempty"` // ID of the last row seen; empty for the start
	Limit int    `json:"limit,omitempty"` // 1 to MaxPage; 0 for 1000
}

func (p Page) limit() (int, error) {
	switch {
	case p.Limit == 0:
		return 1000, nil
	case p.Limit < 0 || p.Limit > MaxPage:
		return 0, fmt.Errorf("%w: a limit of %d, want 1 to %d", ErrInvalid, p.Limit, MaxPage)
	default:
		return p.Limit, nil
	}
}

// DeviceCase is what is known about a device.
type DeviceCase struct {
	Device   *Device          `json:"device"`
	Owners   []*Owner         `json:"owners"` // former ones too
	Claims   []*Claim         `json:"claims"`
	Vouchers []*VoucherRecord `json:"vouchers"` // issued ones, newest first, at most 1000
}

// Device returns what is known about a device, or ErrNotFound.
func (s *Service) Device(ctx context.Context, ref DeviceRef) (*DeviceCase, error) {
	d, err := s.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	owners, err := s.store.Owners(ctx, d.Domain, d.ID)
	if err != nil {
		return nil, err
	}
	vouchers, err := s.store.DeviceVouchers(ctx, d.Domain, d.ID, 1000)
	if err != nil {
		return nil, err
	}
	claims, err := s.store.Claims(ctx, d.Domain, d.ID)
	if err != nil {
		return nil, err
	}
	return &DeviceCase{Device: d, Owners: owners, Claims: claims, Vouchers: vouchers}, nil
}

// AuditLog returns the audit-log of a device as a registrar that may see it
// gets it (RFC 8995, Section 5.8.1).
func (s *Service) AuditLog(ctx context.Context, ref DeviceRef) (*brski.AuditLog, error) {
	d, err := s.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	log, err := s.auditLog(ctx, &exchange{settings: s.settings.Load(), device: d, product: d.Product})
	if err != nil {
		return nil, fmt.Errorf("audit-log of device %q: %w", d.SerialNumber, err)
	}
	return log, nil
}

// ListDevices returns devices in the order in which they were imported.
func (s *Service) ListDevices(ctx context.Context, p Page) ([]*Device, error) {
	limit, err := p.limit()
	if err != nil {
		return nil, err
	}
	return s.store.ListDevices(ctx, s.settings.Load().Domain, p.After, limit)
}

// ListVouchers returns issuances in the order in which they were asked for, in
// any state.
func (s *Service) ListVouchers(ctx context.Context, p Page) ([]*VoucherRecord, error) {
	limit, err := p.limit()
	if err != nil {
		return nil, err
	}
	return s.store.ListVouchers(ctx, s.settings.Load().Domain, p.After, limit)
}

// BlockRequest names a device that gets no voucher any more, or again does.
type BlockRequest struct {
	DeviceRef
	Reason string `json:"reason,omitempty"` // for people; at most 400 bytes
	By     string `json:"by"`               // who did it, such as "cli:root"
}

// Block stops vouchers for a device that was stolen or recalled. Blocking a
// blocked device changes its reason.
func (s *Service) Block(ctx context.Context, r *BlockRequest) (*Device, error) {
	return s.setState(ctx, r, Blocked, KindDeviceBlocked)
}

// Unblock lets a device have vouchers again. It is no error when it could.
func (s *Service) Unblock(ctx context.Context, r *BlockRequest) (*Device, error) {
	return s.setState(ctx, r, Known, KindDeviceUnblocked)
}

func (s *Service) setState(ctx context.Context, r *BlockRequest, state DeviceState, kind string) (*Device, error) {
	if len(r.Reason) > maxText {
		return nil, fmt.Errorf("%w: a reason of %d bytes, at most %d are kept", ErrInvalid, len(r.Reason), maxText)
	}
	// Not while a voucher for it is under way.
	defer s.lockDevice(r.SerialNumber)()
	d, err := s.find(ctx, r.DeviceRef)
	if err != nil {
		return nil, err
	}
	d.State, d.Reason, d.BlockedAt = state, "", time.Time{}
	if state == Blocked {
		d.Reason, d.BlockedAt = r.Reason, s.now().UTC()
	}
	err = s.store.Commit(ctx, &Change{
		PutDevices: []*Device{d},
		Trail:      []*trail.Entry{s.operatorEntry(kind, d, r.By, body{"reason": r.Reason})},
	})
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", d.SerialNumber, err)
	}
	return d, nil
}

// find returns the device that an operator named.
func (s *Service) find(ctx context.Context, ref DeviceRef) (*Device, error) {
	domain := s.settings.Load().Domain
	if ref.Product != "" {
		d, err := s.store.DeviceBySerialNumber(ctx, domain, ref.Product, ref.SerialNumber)
		if err != nil {
			return nil, fmt.Errorf("device %q of product %q: %w", ref.SerialNumber, ref.Product, err)
		}
		return d, nil
	}
	devices, err := s.store.FindDevices(ctx, domain, ref.SerialNumber)
	switch {
	case err != nil:
		return nil, err
	case len(devices) == 0:
		return nil, fmt.Errorf("device %q: %w", ref.SerialNumber, ErrNotFound)
	case len(devices) > 1:
		return nil, fmt.Errorf("%w: %d products have a device %q; name the product", ErrInvalid, len(devices), ref.SerialNumber)
	default:
		return devices[0], nil
	}
}

func (s *Service) operatorEntry(kind string, d *Device, by string, b body) *trail.Entry {
	b["product"], b["serial_number"] = d.Product, d.SerialNumber
	return &trail.Entry{At: s.now().UTC(), Domain: d.Domain, Kind: kind, Device: d.ID, Actor: actor(by), Body: b.json()}
}

func actor(by string) string {
	if by == "" {
		return "operator"
	}
	return by
}
