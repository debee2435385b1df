package registrar

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/trail"
)

// GroupsChange is a groups document that is to be applied.
type GroupsChange struct {
	Domain   string
	Actor    string
	Document []byte
	Note     string // for people; at most 512 bytes
	// Base is the version that the change was planned on; ErrConflict if it is not the
	// newest any more. Nil: whatever is.
	Base *int64

	of int64 // the version that a rollback goes back to
}

// GroupsPlan is what applying a document does, or did.
type GroupsPlan struct {
	Base    int64 // version in force before
	Version int64 // that it is, or would be
	Devices int   // looked at
	Pinned  int   // of them, which stay
	Moves   []GroupMove
	Moved   int    // devices in Moves
	Digest  string // SHA-256, in hex, over each move in the order in which the devices came on record: equal plans do the same
}

// GroupMove is how many devices go from one group to another.
type GroupMove struct {
	From, To string // "": none
	Devices  int
	Examples []string // serial numbers of up to 5
}

// PlanGroups says what ApplyGroups would do now, and changes nothing.
func (s *Service) PlanGroups(ctx context.Context, r *GroupsChange) (*GroupsPlan, error) {
	v, next, err := s.nextGroups(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.plan(ctx, v, next)
}

// ApplyGroups puts a document into force, as the next version, for all requests that
// begin from then on, and moves the devices on record. A process that ends meanwhile
// goes on when it starts again.
func (s *Service) ApplyGroups(ctx context.Context, r *GroupsChange) (*GroupsPlan, error) {
	s.applied.Lock()
	defer s.applied.Unlock()
	v, next, err := s.nextGroups(ctx, r)
	if err != nil {
		return nil, err
	}
	plan, err := s.plan(ctx, v, next)
	if err != nil {
		return nil, err
	}
	doc := next.document
	sum := sha256.Sum256(doc.Document)
	b := newBody().num("version", int(doc.Version)).num("base", int(plan.Base)).hex("document_sha256", sum[:]).num("groups", len(next.Groups())).
		num("devices", plan.Devices).num("moves", plan.Moved).str("moves_sha256", plan.Digest).str("message", doc.Note)
	if doc.Of != 0 {
		b.num("rolled_back_to", int(doc.Of))
	}
	change := &Change{PutGroups: []*GroupDocument{doc}, Trail: []*trail.Entry{s.act(v, r.Actor, KindGroupsApplied, "", b)}}
	if err := s.commit(ctx, change); err != nil {
		return nil, fmt.Errorf("version %d of the groups: %w", doc.Version, err)
	}
	s.groups.Store(next)
	done, err := s.moveDevices(context.WithoutCancel(ctx), v, next)
	if err != nil {
		return nil, fmt.Errorf("version %d of the groups is in force, but not all devices on record were moved; applying it again goes on: %w", doc.Version, err)
	}
	done.Base = plan.Base
	return done, nil
}

// RollbackGroups applies an earlier version anew. With dry it only plans.
func (s *Service) RollbackGroups(ctx context.Context, r *GroupsChange, to int64, dry bool) (*GroupsPlan, error) {
	old, err := s.GroupDocument(ctx, r.Domain, to)
	if err != nil {
		return nil, err
	}
	change := *r
	change.Document, change.of = old.Document, old.Version
	if dry {
		return s.PlanGroups(ctx, &change)
	}
	return s.ApplyGroups(ctx, &change)
}

// nextGroups compiles what a change asks for.
func (s *Service) nextGroups(ctx context.Context, r *GroupsChange) (*version, *groupsInForce, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, nil, err
	}
	if s.compile == nil {
		return nil, nil, invalid("this registrar has no groups")
	}
	if len(r.Note) > 512 {
		return nil, nil, invalid("the note is longer than 512 bytes")
	}
	by, err := s.compile(r.Document)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	if problems := v.checkProfiles(by); len(problems) > 0 {
		return nil, nil, invalid("%s", strings.Join(problems[:min(len(problems), 10)], "; "))
	}
	newest, err := found(s.store.GroupDocument(ctx, v.Domain, 0))
	if err != nil {
		return nil, nil, err
	}
	base := int64(0)
	if newest != nil {
		base = newest.Version
	}
	if r.Base != nil && *r.Base != base {
		return nil, nil, fmt.Errorf("it was planned on version %d of the groups, and version %d is in force by now; plan it again: %w", *r.Base, base, ErrConflict)
	}
	doc := &GroupDocument{Domain: v.Domain, Version: base + 1, Document: r.Document, Actor: r.Actor, Note: r.Note, Of: r.of, At: s.now().UTC()}
	return v, &groupsInForce{by, doc}, nil
}

// plan walks over the devices on record. A device that an operator pinned to a group that
// the document lacks is an error.
func (s *Service) plan(ctx context.Context, v *version, next *groupsInForce) (*GroupsPlan, error) {
	t := newTally(next.document.Version)
	err := s.eachMove(ctx, v, next, t.add)
	switch {
	case err != nil:
		return nil, err
	case t.orphans > 0:
		return nil, fmt.Errorf("%d devices were put by name into groups that the document lacks, such as %s; put them elsewhere first (briskest group assign), or keep those groups: %w",
			t.orphans, strings.Join(t.orphaned, ", "), ErrConflict)
	}
	return t.done(), nil
}

// moveDevices has the record say where devices are, some at a time, and tells what it did.
func (s *Service) moveDevices(ctx context.Context, v *version, g *groupsInForce) (*GroupsPlan, error) {
	const batch = 1000 // the writer is taken for about 25 ms
	t := newTally(g.document.Version)
	change := &Change{}
	flush := func(last bool) error {
		if n := len(change.Regroup); n > 0 {
			b := newBody().num("groups_version", int(g.document.Version)).num("devices", n).
				str("first", change.Regroup[0].DeviceID).str("last", change.Regroup[n-1].DeviceID).str("moves_sha256", digestOf(change.Regroup))
			change.Trail = []*trail.Entry{s.act(v, g.document.Actor, KindDevicesMoved, "", b)}
		}
		if last {
			doc := *g.document
			doc.Applied, doc.Moved = true, int64(t.plan.Moved)
			change.PutGroups = []*GroupDocument{&doc}
		}
		err := s.store.Commit(ctx, change)
		change = &Change{}
		return err
	}
	err := s.eachMove(ctx, v, g, func(d *Device, p *Placement) error {
		if err := t.add(d, p); err != nil || p.Name == d.Group || p.Pinned {
			return err
		}
		change.Regroup = append(change.Regroup, &Regrouping{Domain: d.Domain, DeviceID: d.ID, From: d.Group, Group: p.Name})
		if len(change.Regroup) < batch {
			return nil
		}
		return flush(false)
	})
	if err == nil {
		err = flush(true)
	}
	if err != nil && !errors.Is(err, ErrConflict) { // of another registrar that applied another version
		return nil, err
	}
	s.log.InfoContext(ctx, "groups applied", slog.Int64("version", g.document.Version), slog.Int("devices", t.plan.Devices), slog.Int("moved", t.plan.Moved))
	return t.done(), nil
}

// eachMove places every device on record, on all processors, and calls do for one after
// the other, in the order in which they came on record.
func (s *Service) eachMove(ctx context.Context, v *version, g *groupsInForce, do func(*Device, *Placement) error) error {
	return s.store.WalkDevices(ctx, &DeviceWalk{Domain: v.Domain, Facts: g.Reads(), Look: func(page []*Device) func() error {
		places := make([]*Placement, len(page))
		for i, d := range page {
			places[i] = g.placeDevice(recordFacts(d))
		}
		return func() error {
			for i, d := range page {
				if err := do(d, places[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}})
}

// tally counts moves.
type tally struct {
	plan     GroupsPlan
	moves    map[[2]string]*GroupMove
	digest   hash.Hash
	orphans  int
	orphaned []string
}

func newTally(version int64) *tally {
	return &tally{plan: GroupsPlan{Version: version, Base: version - 1}, moves: make(map[[2]string]*GroupMove), digest: sha256.New()}
}

const maxExamples = 5

func (t *tally) add(d *Device, p *Placement) error {
	t.plan.Devices++
	if p.Pinned {
		t.plan.Pinned++
		if p.Problem != "" {
			if t.orphans++; len(t.orphaned) < maxExamples {
				t.orphaned = append(t.orphaned, fmt.Sprintf("%s (%s)", d.SerialNumber, d.Group))
			}
		}
		return nil
	}
	if p.Name == d.Group {
		return nil
	}
	t.plan.Moved++
	digestMove(t.digest, d.ID, d.Group, p.Name)
	key := [2]string{d.Group, p.Name}
	m := t.moves[key]
	if m == nil {
		m = &GroupMove{From: d.Group, To: p.Name}
		t.moves[key] = m
	}
	if m.Devices++; len(m.Examples) < maxExamples {
		m.Examples = append(m.Examples, d.SerialNumber)
	}
	return nil
}

func (t *tally) done() *GroupsPlan {
	plan := t.plan
	for _, m := range t.moves {
		plan.Moves = append(plan.Moves, *m)
	}
	slices.SortFunc(plan.Moves, func(a, b GroupMove) int {
		if a.From != b.From {
			return strings.Compare(a.From, b.From)
		}
		return strings.Compare(a.To, b.To)
	})
	plan.Digest = fmt.Sprintf("%x", t.digest.Sum(nil))
	return &plan
}

func digestMove(h hash.Hash, parts ...string) {
	for _, part := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part))) //nolint:gosec // names of 64 bytes
		h.Write(n[:])
		h.Write([]byte(part))
	}
}

func digestOf(moves []*Regrouping) string {
	h := sha256.New()
	for _, m := range moves {
		digestMove(h, m.DeviceID, m.From, m.Group)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
