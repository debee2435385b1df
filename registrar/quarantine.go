package registrar

import (
	"context"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// QuarantineKind says what the devices of a quarantine have in common.
type QuarantineKind string

// The kinds of quarantine.
const (
	QuarantineDevice       QuarantineKind = "device"       // Value is its ID
	QuarantineGroup        QuarantineKind = "group"        // Value is its name
	QuarantineManufacturer QuarantineKind = "manufacturer" // Value is its name
	QuarantineModel        QuarantineKind = "model"
	QuarantineBatch        QuarantineKind = "batch" // of manufacturing
	QuarantineFirmware     QuarantineKind = "firmware"
)

// Quarantine bars devices that have something in common, those that come later too,
// until it is lifted: they authenticate nothing and get nothing.
type Quarantine struct {
	Domain string
	ID     string // NewID
	Kind   QuarantineKind
	// Manufacturer narrows model, batch and firmware to its devices; empty: those of any.
	Manufacturer string
	Value        string
	Reason       string // an operator's words
	By           string // who
	At           time.Time
	LiftedAt     time.Time // zero: it is in force
	LiftedBy     string
}

// InForce tells whether the quarantine was not lifted.
func (q *Quarantine) InForce() bool { return q.LiftedAt.IsZero() }

// common is what a quarantine is about.
type common struct {
	kind         QuarantineKind
	manufacturer string
	value        string
}

// quarantines are those in force, by what they are about; never changed.
type quarantines map[common]*Quarantine

func newQuarantines(all []*Quarantine) quarantines {
	out := make(quarantines, len(all))
	for _, q := range all {
		if q.InForce() {
			out[common{q.Kind, q.Manufacturer, q.Value}] = q
		}
	}
	return out
}

// bars returns the quarantine that a device is in, or nil. Of a device that is not
// on record, d is nil and the manufacturer is what is known.
func (all quarantines) bars(manufacturer string, d *Device) *Quarantine {
	if len(all) == 0 {
		return nil
	}
	if d == nil {
		d = &Device{Manufacturer: manufacturer}
	}
	for _, c := range [...]common{
		{QuarantineDevice, "", d.ID}, {QuarantineGroup, "", d.Group}, {QuarantineManufacturer, "", d.Manufacturer},
		{QuarantineModel, "", d.Model}, {QuarantineModel, d.Manufacturer, d.Model},
		{QuarantineBatch, "", d.Batch}, {QuarantineBatch, d.Manufacturer, d.Batch},
		{QuarantineFirmware, "", d.Firmware}, {QuarantineFirmware, d.Manufacturer, d.Firmware},
	} {
		if c.value == "" {
			continue
		}
		if q := all[c]; q != nil {
			return q
		}
	}
	return nil
}

// barred is the refusal of a device that is in quarantine, or nil.
func (s *Service) barred(manufacturer string, d *Device) *Decision {
	q := s.quarantined.Load().bars(manufacturer, d)
	if q == nil {
		return nil
	}
	return denyErr(ReasonQuarantined, "quarantine", fmt.Errorf("quarantine %s of %s %q", q.ID, q.Kind, q.Value))
}

// outOfService is the refusal of a device that an operator has taken out of
// service, by itself or with others; nil for one that is in service.
func (s *Service) outOfService(d *Device, rule string) *Decision {
	switch d.State {
	case Suspended:
		return deny(ReasonDeviceSuspended, rule)
	case Decommissioned:
		return deny(ReasonDeviceDecommissioned, rule)
	}
	return s.barred(d.Manufacturer, d)
}

// decidedBy has the policy decide about a case whose device is known as far as it
// will be. No policy, and no other system, lets a device out of quarantine.
func (s *Service) decidedBy(v *version, c *Case) *Decision {
	device := c.Device
	if c.Placement != nil && (device == nil || device.Group != c.Placement.Name) { // it is placed with this case
		placed := Device{Manufacturer: c.manufacturer()}
		if device != nil {
			placed = *device
		}
		placed.Group = c.Placement.Name
		device = &placed
	}
	if d := s.barred(c.manufacturer(), device); d != nil {
		return d
	}
	return s.policy(&v.Settings, c)
}

// loadQuarantines reads those in force from the record.
func (s *Service) loadQuarantines(ctx context.Context, domain string) error {
	all, err := s.store.Quarantines(ctx, domain, true)
	if err != nil {
		return fmt.Errorf("quarantines: %w", err)
	}
	set := newQuarantines(all)
	s.quarantined.Store(&set)
	return nil
}

// QuarantineRequest says what to put into quarantine.
type QuarantineRequest struct {
	Domain       string
	Actor        string
	Kind         QuarantineKind
	Manufacturer string // of model, batch and firmware; empty for any
	Value        string // of a device its ID or serial number
	Reason       string
	DryRun       bool // only count the devices
}

// QuarantineResult is what a quarantine does.
type QuarantineResult struct {
	Quarantine *Quarantine
	Devices    int // on record now that it is about
}

// Quarantine bars devices from the next request of any kind on, and returns once
// that is so; whatever they ask is refused with [ReasonQuarantined]. What it is about
// is not changed: lifted, the devices go on as before. One that is in force
// already is returned as it is.
func (s *Service) Quarantine(ctx context.Context, r *QuarantineRequest) (*QuarantineResult, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	q := &Quarantine{Domain: v.Domain, ID: NewID(s.now()), Kind: r.Kind, Manufacturer: r.Manufacturer, Value: r.Value, Reason: r.Reason, By: r.Actor, At: s.now().UTC()}
	if err := s.checkQuarantine(ctx, v, q); err != nil {
		return nil, err
	}
	out := &QuarantineResult{Quarantine: q}
	if !r.DryRun {
		if out.Quarantine, err = s.putQuarantine(ctx, v, q); err != nil {
			return nil, err
		}
	}
	out.Devices, err = s.countBarred(ctx, v, q)
	return out, err
}

// maxQuarantine bounds the texts of a quarantine, in bytes.
const maxQuarantine = 512

// checkQuarantine refuses what is about nothing, and finds the device that is named.
func (s *Service) checkQuarantine(ctx context.Context, v *version, q *Quarantine) error {
	switch {
	case q.Value == "":
		return invalid("a quarantine of what? The value is empty")
	case len(q.Value) > maxQuarantine || len(q.Reason) > maxQuarantine || len(q.Manufacturer) > maxQuarantine:
		return invalid("a text of the quarantine is longer than %d bytes", maxQuarantine)
	}
	switch q.Kind {
	case QuarantineModel, QuarantineBatch, QuarantineFirmware:
		if q.Manufacturer != "" && v.Manufacturers[q.Manufacturer] == nil {
			return fmt.Errorf("manufacturer %q: %w", q.Manufacturer, ErrNotFound)
		}
		return nil
	case QuarantineDevice:
		view, err := s.Device(ctx, v.Domain, q.Value)
		if err != nil {
			return err
		}
		q.Value = view.Device.ID
	case QuarantineManufacturer:
		if v.Manufacturers[q.Value] == nil {
			return fmt.Errorf("manufacturer %q: %w", q.Value, ErrNotFound)
		}
	case QuarantineGroup:
	default:
		return invalid("kind %q; want device, group, manufacturer, model, batch or firmware", q.Kind)
	}
	if q.Manufacturer != "" {
		return invalid("a quarantine of kind %s takes no manufacturer beside it", q.Kind)
	}
	return nil
}

// putQuarantine records q and puts it into force.
func (s *Service) putQuarantine(ctx context.Context, v *version, q *Quarantine) (*Quarantine, error) {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	if there := (*s.quarantined.Load())[common{q.Kind, q.Manufacturer, q.Value}]; there != nil {
		return there, nil
	}
	device := ""
	if q.Kind == QuarantineDevice {
		device = q.Value
	}
	b := newBody().str("quarantine", q.ID).str("of", string(q.Kind)).str("manufacturer", q.Manufacturer).str("value", q.Value).str("message", q.Reason)
	change := &Change{PutQuarantines: []*Quarantine{q}, Trail: []*trail.Entry{s.act(v, q.By, KindQuarantined, device, b)}}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, err
	}
	return q, s.loadQuarantines(context.WithoutCancel(ctx), v.Domain)
}

// countBarred counts the devices on record that a quarantine is about.
func (s *Service) countBarred(ctx context.Context, v *version, q *Quarantine) (n int, err error) {
	one := newQuarantines([]*Quarantine{q})
	err = s.eachDevice(ctx, v, func(d *Device) {
		if one.bars(d.Manufacturer, d) != nil {
			n++
		}
	})
	return n, err
}

// eachDevice calls do with each device of the domain.
func (s *Service) eachDevice(ctx context.Context, v *version, do func(*Device)) error {
	for after := ""; ; {
		page, err := s.store.ListDevices(ctx, v.Domain, after, maxList)
		if err != nil {
			return err
		}
		for _, d := range page {
			do(d)
		}
		if len(page) < maxList {
			return nil
		}
		after = page[len(page)-1].ID
	}
}

// Quarantines returns those of the domain, newest last; without all only those in force.
func (s *Service) Quarantines(ctx context.Context, domain string, all bool) ([]*Quarantine, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.Quarantines(ctx, v.Domain, !all)
}

// Lifting ends a quarantine.
type Lifting struct {
	Domain string
	Actor  string
	ID     string
	Reason string
}

// LiftQuarantine ends one; its devices go on as before, unless another one bars
// them. One that was lifted already is returned as it is.
func (s *Service) LiftQuarantine(ctx context.Context, r *Lifting) (*Quarantine, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	all, err := s.store.Quarantines(ctx, v.Domain, false)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		if q.ID != r.ID {
			continue
		}
		if !q.InForce() {
			return q, nil
		}
		q.LiftedAt, q.LiftedBy = s.now().UTC(), r.Actor
		b := newBody().str("quarantine", q.ID).str("of", string(q.Kind)).str("manufacturer", q.Manufacturer).str("value", q.Value).str("message", r.Reason)
		device := ""
		if q.Kind == QuarantineDevice {
			device = q.Value
		}
		change := &Change{PutQuarantines: []*Quarantine{q}, Trail: []*trail.Entry{s.act(v, r.Actor, KindQuarantineLifted, device, b)}}
		if err := s.store.Commit(ctx, change); err != nil {
			return nil, err
		}
		return q, s.loadQuarantines(context.WithoutCancel(ctx), v.Domain)
	}
	return nil, fmt.Errorf("quarantine %q: %w", r.ID, ErrNotFound)
}
