package storetest

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
)

func groupsVersion(domain string, version int64) *registrar.GroupDocument {
	return &registrar.GroupDocument{Domain: domain, Version: version, Document: []byte{'{', byte('0' + version), '}'}, Actor: "cli:ann", Note: "n", At: at(int(version))}
}

func testGroupDocuments(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	if _, err := s.GroupDocument(ctx, domain, 0); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("GroupDocument of none: error %v, want ErrNotFound", err)
	}
	put := func(g *registrar.GroupDocument) *registrar.Change {
		return &registrar.Change{PutGroups: []*registrar.GroupDocument{g}}
	}
	wantConflict(t, s, "version 2 first", put(groupsVersion(domain, 2)))
	first, second := groupsVersion(domain, 1), groupsVersion(domain, 2)
	commit(t, s, put(first))
	commit(t, s, put(groupsVersion("other", 1)))
	other := groupsVersion(domain, 1)
	other.Document = []byte("{other}")
	wantConflict(t, s, "another document as version 1", put(other))
	wantConflict(t, s, "version 3 after 1", put(groupsVersion(domain, 3)))
	first.Applied, first.Moved = true, 7
	commit(t, s, put(first))
	second.Of = 1
	commit(t, s, put(second))
	wantConflict(t, s, "version 1 again", put(first))
	got, err := s.GroupDocument(ctx, domain, 0)
	want(t, "GroupDocument of the newest", got, err, second)
	got, err = s.GroupDocument(ctx, domain, 1)
	want(t, "GroupDocument(1)", got, err, first)
	if _, err := s.GroupDocument(ctx, domain, 3); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("GroupDocument(3): error %v, want ErrNotFound", err)
	}
	without := func(g registrar.GroupDocument) *registrar.GroupDocument { g.Document = nil; return &g }
	list, err := s.ListGroupDocuments(ctx, domain, 0, 10)
	want(t, "ListGroupDocuments", list, err, []*registrar.GroupDocument{without(*second), without(*first)})
	list, err = s.ListGroupDocuments(ctx, domain, 2, 10)
	want(t, "ListGroupDocuments before 2", list, err, []*registrar.GroupDocument{without(*first)})
	list, err = s.ListGroupDocuments(ctx, domain, 0, 1)
	want(t, "ListGroupDocuments, one", list, err, []*registrar.GroupDocument{without(*second)})
}

// Whoever read a device before it was moved must not put it back by writing it.
func testRegroup(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	d := detailed(1)
	d.Group, d.GroupPinned = "pumps", false
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
	move := func(from string, fromPinned bool, to string, pinned bool) *registrar.Regrouping {
		return &registrar.Regrouping{Domain: domain, DeviceID: d.ID, From: from, FromPinned: fromPinned, Group: to, Pinned: pinned}
	}
	expect := func(what, group string, pinned bool) {
		t.Helper()
		d.Group, d.GroupPinned = group, pinned
		got, err := s.Device(ctx, domain, d.ID)
		want(t, what, got, err, d)
	}
	step := func(what string, r *registrar.Regrouping, group string, pinned bool) {
		t.Helper()
		commit(t, s, &registrar.Change{Regroup: []*registrar.Regrouping{r}})
		expect(what, group, pinned)
	}
	step("moved from elsewhere", move("valves", false, "doors", false), "pumps", false)
	step("moved as if pinned", move("pumps", true, "doors", false), "pumps", false)
	step("moved", move("pumps", false, "doors", false), "doors", false)
	step("of another domain", &registrar.Regrouping{Domain: "other", DeviceID: d.ID, From: "doors", Group: "x"}, "doors", false)
	for _, changed := range []func(d *registrar.Device){
		func(d *registrar.Device) { d.State, d.SeenAt = registrar.Enrolled, at(9) },
		func(d *registrar.Device) { d.Firmware = "9" },
		func(d *registrar.Device) { d.IDevID = []byte{0x30, 1, 7} },
	} {
		changed(d)
		stale := *d
		stale.Group = "pumps"
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{&stale}})
		expect("written by who knew it in another group", "doors", false)
	}
	stale := *d
	stale.Group, stale.State = "pumps", registrar.Suspended
	d.State = registrar.Suspended
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{&stale}, Regroup: []*registrar.Regrouping{move("doors", false, "gates", true)}})
	expect("written and moved", "gates", true)
	step("moved by a rule while pinned", move("gates", false, "doors", false), "gates", true)
	step("freed", move("gates", true, "", false), "", false)
	commit(t, s, &registrar.Change{Regroup: []*registrar.Regrouping{{Domain: domain, DeviceID: "nobody", Group: "x"}}})
}
