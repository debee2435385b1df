package registrar

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// BaselineChange is a baseline document that is to be applied.
type BaselineChange struct {
	Domain   string
	Actor    string
	Group    string // "": for the domain's devices whose group has none
	Document []byte
	Rollback int64  // in place of Document: an earlier version, anew
	Note     string // for people; at most 512 bytes
	// Base is the version that the change was made on; ErrConflict if it is not the
	// newest any more. Nil: whatever is.
	Base *int64
}

// ApplyBaseline makes a document the group's newest, which devices get when they
// next ask.
func (s *Service) ApplyBaseline(ctx context.Context, r *BaselineChange) (*BaselineDocument, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	next := &BaselineDocument{Domain: v.Domain, Group: r.Group, Document: r.Document, Actor: r.Actor, Note: r.Note, Of: r.Rollback, At: s.now().UTC()}
	if r.Rollback != 0 {
		old, err := s.BaselineDocument(ctx, v.Domain, r.Group, r.Rollback)
		if err != nil {
			return nil, err
		}
		next.Document = old.Document
	}
	if err := s.checkBaseline(next); err != nil {
		return nil, err
	}
	newest, err := found(s.store.BaselineDocument(ctx, v.Domain, r.Group, 0))
	if err != nil {
		return nil, err
	}
	base := int64(0)
	if newest != nil {
		base = newest.Version
	}
	if r.Base != nil && *r.Base != base {
		return nil, fmt.Errorf("it was made on version %d of the baseline, and version %d is in force by now: %w", *r.Base, base, ErrConflict)
	}
	next.Version = base + 1
	sum := sha256.Sum256(next.Document)
	b := newBody().str("group", next.Group).num("version", int(next.Version)).hex("document_sha256", sum[:]).str("message", next.Note)
	if next.Of != 0 {
		b.num("rolled_back_to", int(next.Of))
	}
	change := &Change{PutBaselines: []*BaselineDocument{next}, Trail: []*trail.Entry{s.act(v, r.Actor, KindBaselineApplied, "", b)}}
	if err := s.commit(ctx, change); err != nil {
		return nil, fmt.Errorf("version %d of the baseline: %w", next.Version, err)
	}
	return next, nil
}

// checkBaseline refuses what would be of no use to devices. A group need not be there yet.
func (s *Service) checkBaseline(d *BaselineDocument) error {
	switch {
	case s.baselines == nil:
		return invalid("this registrar has no baselines")
	case len(d.Note) > 512:
		return invalid("the note is longer than 512 bytes")
	case len(d.Group) > 64:
		return invalid("the group's name is longer than 64 bytes")
	case len(d.Document) > MaxBaseline:
		return invalid("the document has %d bytes; at most %d are taken", len(d.Document), MaxBaseline)
	}
	if err := s.baselines.Check(d.Document); err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return nil
}

// BaselineDocument returns a version of a group's baseline; the newest for 0.
func (s *Service) BaselineDocument(ctx context.Context, domain, group string, version int64) (*BaselineDocument, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	of := fmt.Sprintf("group %q", group)
	if group == "" {
		of = "the domain"
	}
	doc, err := s.store.BaselineDocument(ctx, v.Domain, group, version)
	switch {
	case err != nil && version == 0:
		return nil, fmt.Errorf("no baseline of %s was applied yet: %w", of, err)
	case err != nil:
		return nil, fmt.Errorf("version %d of the baseline of %s: %w", version, of, err)
	}
	return doc, nil
}

// Baselines lists the newest version of each group's baseline in order of the groups'
// names, the domain's first, without their documents.
func (s *Service) Baselines(ctx context.Context, domain string) ([]*BaselineDocument, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.ListBaselines(ctx, v.Domain)
}

// BaselineVersions lists up to limit versions of a group's baseline before the given
// one, 0 for the newest, the newest first and without their documents.
func (s *Service) BaselineVersions(ctx context.Context, domain, group string, before int64, limit int) ([]*BaselineDocument, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.BaselineVersions(ctx, v.Domain, group, before, listLimit(limit))
}

// BaselineCounts counts devices by what they were given last and said of it.
func (s *Service) BaselineCounts(ctx context.Context, domain string) ([]*BaselineCount, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.CountBaselines(ctx, v.Domain)
}

// DeviceBaseline is which baseline a device is to have, and has.
type DeviceBaseline struct {
	Device *Device
	Group  string // by the rules now, or by name
	// Wanted is the document that it would get; nil for none.
	Wanted *BaselineDocument
	Has    *BaselineDelivery // nil: it was never given any
}

// State is "none" of a device for which there is none, "never" of one that has not
// asked, "outdated" of one that was given another document, else what it said:
// "unacknowledged", "received", "applied" or "failed".
func (d *DeviceBaseline) State() string {
	switch {
	case d.Wanted == nil:
		return "none"
	case d.Has == nil:
		return "never"
	case d.Has.Group != d.Wanted.Group || d.Has.DocumentVersion != d.Wanted.Version:
		return "outdated"
	case d.Has.Status == BaselineDelivered:
		return "unacknowledged"
	default:
		return string(d.Has.Status)
	}
}

// BaselinesOf says of each device of a query which baseline it is to have, and has;
// next continues the query, "" at its end.
func (s *Service) BaselinesOf(ctx context.Context, q *DeviceQuery) (all []*DeviceBaseline, next string, err error) {
	page, err := s.QueryDevices(ctx, q)
	if err != nil {
		return nil, "", err
	}
	for _, d := range page.Devices {
		one, err := s.baselineOf(ctx, d)
		if err != nil {
			return nil, "", err
		}
		all = append(all, one)
	}
	return all, page.Next, nil
}

// BaselineOf says so of one device, by its ID or serial number.
func (s *Service) BaselineOf(ctx context.Context, domain, ref string) (*DeviceBaseline, error) {
	view, err := s.Device(ctx, domain, ref)
	if err != nil {
		return nil, err
	}
	return s.baselineOf(ctx, view.Device)
}

func (s *Service) baselineOf(ctx context.Context, d *Device) (*DeviceBaseline, error) {
	out := &DeviceBaseline{Device: d, Group: d.Group}
	of, only := "", false
	if g := s.groups.Load(); g != nil {
		p := g.placeDevice(recordFacts(d))
		out.Group, of = p.Name, p.Name
		if p.Group != nil && p.Group.Baseline != "" {
			of, only = p.Group.Baseline, true
		}
	}
	var err error
	if out.Wanted, err = found(s.documentFor(ctx, d.Domain, of, only)); err != nil {
		return nil, err
	}
	out.Has, err = found(s.store.BaselineDelivery(ctx, d.Domain, d.ID))
	return out, err
}
