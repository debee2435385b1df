package registrar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/internal/trail"
)

// StateChange is an operator's change of a device's state.
type StateChange struct {
	Domain string
	Actor  string
	Device string // ID or serial number
	Reason string // for the trail
}

// Suspend takes a device out of service: it authenticates nothing from this moment
// on. A decommissioned one is ErrConflict; a suspended one stays as it is.
func (s *Service) Suspend(ctx context.Context, r *StateChange) (*Device, error) {
	return s.changeState(ctx, r, func(d *Device) (DeviceState, error) {
		if d.State == Decommissioned {
			return "", fmt.Errorf("device %q was decommissioned: %w", d.SerialNumber, ErrConflict)
		}
		return Suspended, nil
	})
}

// Resume puts a suspended device back into service, as what it was before; one that
// is in service stays as it is, so that whoever lost the answer may ask again. A
// decommissioned one is ErrConflict: see [Service.Readmit].
func (s *Service) Resume(ctx context.Context, r *StateChange) (*Device, error) {
	return s.changeState(ctx, r, func(d *Device) (DeviceState, error) {
		switch d.State {
		case Decommissioned:
			return "", fmt.Errorf("device %q was decommissioned; readmit it: %w", d.SerialNumber, ErrConflict)
		case Suspended:
			return s.stateByRecord(ctx, d)
		default:
			return d.State, nil
		}
	})
}

// Readmit lets a decommissioned device onboard again, from the start: it is expected
// once more, and its old certificates stay revoked. It is named by its ID or its
// exact serial number, one at a time. Any other device is ErrConflict.
func (s *Service) Readmit(ctx context.Context, r *StateChange) (*Device, error) {
	return s.changeState(ctx, r, func(d *Device) (DeviceState, error) {
		if d.State != Decommissioned {
			return "", fmt.Errorf("device %q is %s, not decommissioned: %w", d.SerialNumber, d.State, ErrConflict)
		}
		return Expected, nil
	})
}

// stateByRecord is the state of a device by its certificates and vouchers.
func (s *Service) stateByRecord(ctx context.Context, d *Device) (DeviceState, error) {
	held, err := s.store.ListCertificates(ctx, &CertificateQuery{Domain: d.Domain, DeviceID: d.ID, Status: Issued, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(held) > 0 {
		return Enrolled, nil
	}
	v, err := found(s.store.LatestVoucher(ctx, d.Domain, d.ID))
	if err != nil {
		return "", err
	}
	if v != nil && v.State == voucherIssued {
		return Vouched, nil
	}
	return Expected, nil
}

// changeState puts the state that next gives on record, with the device locked.
func (s *Service) changeState(ctx context.Context, r *StateChange, next func(*Device) (DeviceState, error)) (*Device, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	device, unlock, err := s.lockDevice(ctx, v, r.Device)
	if err != nil {
		return nil, err
	}
	defer unlock()
	to, err := next(device)
	if err != nil || to == device.State {
		return device, err
	}
	return device, s.commitState(ctx, v, r.Actor, device, to, r.Reason)
}

// lockDevice finds a device by its ID or serial number, locks it, and reads it again.
func (s *Service) lockDevice(ctx context.Context, v *version, ref string) (*Device, func(), error) {
	view, err := s.Device(ctx, v.Domain, ref)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := s.devices.lock(ctx, deviceKey(view.Device.Manufacturer, view.Device.SerialNumber))
	if err != nil {
		return nil, nil, err
	}
	device, err := s.store.Device(ctx, v.Domain, view.Device.ID)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return device, unlock, nil
}

func (s *Service) commitState(ctx context.Context, v *version, actor string, d *Device, to DeviceState, message string) error {
	b := newBody().str("from", string(d.State)).str("to", string(to)).str("message", message)
	d.State = to
	return s.store.Commit(ctx, &Change{Quota: v.quota(), PutDevices: []*Device{d}, Trail: []*trail.Entry{s.act(v, actor, KindDeviceState, d.ID, b)}})
}

// Decommissioning says which device leaves.
type Decommissioning struct {
	Domain string
	Actor  string
	Device string // ID or serial number
	Reason string // for the trail and the receipt
	To     string // who has it from now on; empty where nobody does
}

// Receipt shows that a device was decommissioned.
type Receipt struct {
	Device *Device
	// Signed is a JWS in JSON (RFC 7515, Section 7.2.1) over a [ReceiptText], by the
	// registrar's key, with its chain in x5c.
	Signed []byte
}

// ReceiptText is what a receipt says.
type ReceiptText struct {
	Type           string               `json:"type"` // briskest.decommission-receipt.v1
	Domain         string               `json:"domain"`
	Device         string               `json:"device"` // ID
	Manufacturer   string               `json:"manufacturer,omitempty"`
	SerialNumber   string               `json:"serial_number"`
	HardwareModule string               `json:"hardware_module,omitempty"`
	Reason         string               `json:"reason,omitempty"`
	TransferredTo  string               `json:"transferred_to,omitempty"`
	By             string               `json:"by"`
	At             time.Time            `json:"at"`
	Certificates   []ReceiptCertificate `json:"certificates"` // all it ever had, each of which counts no more
}

// ReceiptCertificate is a certificate that a receipt lists.
type ReceiptCertificate struct {
	Authority string     `json:"authority"` // the key of the CA
	Serial    string     `json:"serial"`    // lower-case hex
	Status    string     `json:"status"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

const (
	receiptType = "briskest.decommission-receipt.v1"
	// reasonCessation is cessationOfOperation (RFC 5280, Section 5.3.1).
	reasonCessation = 5
)

// Decommission has a device leave: from this moment on it authenticates nothing,
// all its certificates are revoked, others are told by the trail's events, and a
// signed receipt says so, whose digest is on the trail. It comes back by
// [Service.Readmit] only. A device that left already gets another receipt, of what is so now; what
// failed half-way is done again by calling it again.
func (s *Service) Decommission(ctx context.Context, r *Decommissioning) (*Receipt, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	if len(r.Reason) > maxQuarantine || len(r.To) > maxQuarantine {
		return nil, invalid("a text is longer than %d bytes", maxQuarantine)
	}
	if _, err := s.Device(ctx, v.Domain, r.Device); err != nil {
		return nil, err
	}
	if v.Signer == nil {
		return nil, invalid("this registrar has no key to sign a receipt with")
	}
	device, err := s.changeState(ctx, &StateChange{Domain: r.Domain, Actor: r.Actor, Device: r.Device, Reason: r.Reason}, func(*Device) (DeviceState, error) {
		return Decommissioned, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = s.RevokeMany(ctx, &RevokeManyRequest{Domain: r.Domain, Actor: r.Actor, Selection: Selection{Device: device.ID}, Reason: reasonCessation})
	if err != nil {
		return nil, fmt.Errorf("device %q is decommissioned, and not all of its certificates are revoked; decommission it again: %w", device.SerialNumber, err)
	}
	return s.receipt(ctx, v, r, device)
}

// receipt signs what is so now, and records its digest.
func (s *Service) receipt(ctx context.Context, v *version, r *Decommissioning, d *Device) (*Receipt, error) {
	text := &ReceiptText{
		Type: receiptType, Domain: v.Domain, Device: d.ID, Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber, HardwareModule: d.HardwareModule,
		Reason: r.Reason, TransferredTo: r.To, By: r.Actor, At: s.now().UTC(), Certificates: []ReceiptCertificate{},
	}
	q := &CertificateQuery{Domain: v.Domain, DeviceID: d.ID, Limit: maxList}
	err := s.eachPage(ctx, q, func(page []*Certificate) bool {
		for _, c := range page {
			line := ReceiptCertificate{Authority: c.Authority, Serial: hex.EncodeToString(c.Serial), Status: string(c.Status)}
			if !c.RevokedAt.IsZero() {
				at := c.RevokedAt.UTC()
				line.RevokedAt = &at
			}
			text.Certificates = append(text.Certificates, line)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	chain := append([]*x509.Certificate{v.Signer.Certificate}, v.Signer.Chain...)
	signed, err := jws.Sign(&jws.SignRequest{Payload: payload, Key: v.Signer.Key, Certificates: chain, Type: "JOSE+JSON"})
	if err != nil {
		return nil, fmt.Errorf("sign the receipt: %w", err)
	}
	sum := sha256.Sum256(signed)
	b := newBody().str("sha256", hex.EncodeToString(sum[:])).num("certificates", len(text.Certificates)).str("owner", r.To).str("message", r.Reason)
	if err := s.store.Commit(ctx, &Change{Trail: []*trail.Entry{s.act(v, r.Actor, KindReceipt, d.ID, b)}}); err != nil {
		return nil, err
	}
	return &Receipt{Device: d, Signed: signed}, nil
}
