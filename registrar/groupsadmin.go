package registrar

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// recordFacts are what rules can say of a device when it is not there.
func recordFacts(d *Device) *GroupFacts {
	return &GroupFacts{Device: d, IDevID: func() *x509.Certificate { return recordedIDevID(d) }}
}

// PlaceImported puts a device that is about to go on record into the group that the rules
// in force have for it. One that is there by name stays.
func (s *Service) PlaceImported(d *Device) {
	if g := s.groups.Load(); g != nil && !d.GroupPinned {
		d.Group = g.placeDevice(recordFacts(d)).Name
	}
}

// GroupDocument returns a version of the domain's groups document; the newest for 0.
func (s *Service) GroupDocument(ctx context.Context, domain string, version int64) (*GroupDocument, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	doc, err := s.store.GroupDocument(ctx, v.Domain, version)
	switch {
	case err != nil && version == 0:
		return nil, fmt.Errorf("no groups were applied yet: %w", err)
	case err != nil:
		return nil, fmt.Errorf("version %d of the groups: %w", version, err)
	}
	return doc, nil
}

// GroupVersions lists up to limit versions before the given one, 0 for the newest, the
// newest first and without their documents.
func (s *Service) GroupVersions(ctx context.Context, domain string, before int64, limit int) ([]*GroupDocument, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.ListGroupDocuments(ctx, v.Domain, before, listLimit(limit))
}

// Groups returns the groups in force in the order in which they are asked, and their
// version; none and 0 without a document.
func (s *Service) Groups(domain string) ([]*Group, int64, error) {
	if _, err := s.inDomain(domain); err != nil {
		return nil, 0, err
	}
	g := s.groups.Load()
	if g == nil {
		return nil, 0, nil
	}
	return g.Groups(), g.document.Version, nil
}

// GroupAssignment puts a device into a group by name.
type GroupAssignment struct {
	Domain string
	Actor  string
	Device string // ID or serial number
	Group  string // "": leaves it to the rules again
	Reason string // for the trail
}

// AssignGroup puts a device into a group, where rules do not move it, or leaves it to the
// rules again. It counts from the device's next request on.
func (s *Service) AssignGroup(ctx context.Context, r *GroupAssignment) (*Device, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	s.applied.Lock() // so that no document without the group comes into force meanwhile
	defer s.applied.Unlock()
	g := s.groups.Load()
	if g == nil {
		return nil, fmt.Errorf("no groups were applied yet: %w", ErrNotFound)
	}
	if r.Group != "" && g.Group(r.Group) == nil {
		return nil, fmt.Errorf("group %q: %w", r.Group, ErrNotFound)
	}
	view, err := s.Device(ctx, v.Domain, r.Device)
	if err != nil {
		return nil, err
	}
	now := view.Device
	move := &Regrouping{Domain: v.Domain, DeviceID: now.ID, From: now.Group, FromPinned: now.GroupPinned, Group: r.Group, Pinned: r.Group != ""}
	if r.Group == "" {
		freed := *now
		freed.GroupPinned = false
		move.Group = g.placeDevice(recordFacts(&freed)).Name
	}
	b := newBody().str("from", now.Group).str("to", move.Group).boolean("by_name", move.Pinned).num("groups_version", int(g.document.Version)).
		str("serial_number", now.SerialNumber).str("message", r.Reason)
	err = s.commit(ctx, &Change{Regroup: []*Regrouping{move}, Trail: []*trail.Entry{s.act(v, r.Actor, KindDeviceGroup, now.ID, b)}})
	if err != nil {
		return nil, err
	}
	after, err := s.store.Device(ctx, v.Domain, now.ID)
	if err == nil && (after.Group != move.Group || after.GroupPinned != move.Pinned) {
		err = fmt.Errorf("device %s was moved meanwhile; try again: %w", now.SerialNumber, ErrConflict)
	}
	return after, err
}

// GroupExplanation is why a device is in its group.
type GroupExplanation struct {
	Device    *Device
	Placement *Placement
	Verdicts  []GroupVerdict // of each group up to the one that matches
	Unmet     *Requirement   // that the device does not meet by its record; nil for none, or for no group
	Missing   bool           // there is no groups document
}

// ExplainGroup says why a device, by ID or serial number, is in its group. What
// requests say is not looked at.
func (s *Service) ExplainGroup(ctx context.Context, domain, ref string) (*GroupExplanation, error) {
	view, err := s.Device(ctx, domain, ref)
	if err != nil {
		return nil, err
	}
	out := &GroupExplanation{Device: view.Device, Placement: &Placement{}}
	g := s.groups.Load()
	if out.Missing = g == nil; out.Missing {
		return out, nil
	}
	f := recordFacts(view.Device)
	out.Placement, out.Verdicts = g.placeDevice(f), g.Explain(f)
	if group := out.Placement.Group; group != nil && group.Unmet != nil {
		asVoucher := *f
		asVoucher.Request = &RequestFacts{Operation: OpVoucher} // what needs a key is not looked at
		out.Unmet = group.Unmet(&asVoucher)
	}
	return out, nil
}
