package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

func testBaselines(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	doc := func(domain, group string, version int64) *registrar.BaselineDocument {
		return &registrar.BaselineDocument{
			Domain: domain, Group: group, Version: version, Document: []byte{'{', byte('0' + version), '}'}, Actor: "cli:ann", Note: "n", Of: version - 1, At: at(int(version)),
		}
	}
	put := func(d *registrar.BaselineDocument) *registrar.Change {
		return &registrar.Change{PutBaselines: []*registrar.BaselineDocument{d}}
	}
	if _, err := s.BaselineDocument(ctx, domain, "", 0); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("BaselineDocument of none: error %v, want ErrNotFound", err)
	}
	wantConflict(t, s, "version 2 first", put(doc(domain, "pumps", 2)))
	for _, d := range []*registrar.BaselineDocument{doc(domain, "pumps", 1), doc("other", "pumps", 1), doc(domain, "", 1), doc(domain, "pumps", 2)} {
		commit(t, s, put(d))
	}
	wantConflict(t, s, "version 2 again", put(doc(domain, "pumps", 2)))
	wantConflict(t, s, "version 4 after 2", put(doc(domain, "pumps", 4)))
	got, err := s.BaselineDocument(ctx, domain, "pumps", 0)
	want(t, "BaselineDocument of the newest", got, err, doc(domain, "pumps", 2))
	got, err = s.BaselineDocument(ctx, domain, "pumps", 1)
	want(t, "BaselineDocument(1)", got, err, doc(domain, "pumps", 1))
	if _, err := s.BaselineDocument(ctx, domain, "", 2); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("BaselineDocument(2) of the domain: error %v, want ErrNotFound", err)
	}
	without := func(d *registrar.BaselineDocument) *registrar.BaselineDocument { d.Document = nil; return d }
	list, err := s.ListBaselines(ctx, domain)
	want(t, "ListBaselines", list, err, []*registrar.BaselineDocument{without(doc(domain, "", 1)), without(doc(domain, "pumps", 2))})
	list, err = s.BaselineVersions(ctx, domain, "pumps", 0, 10)
	want(t, "BaselineVersions", list, err, []*registrar.BaselineDocument{without(doc(domain, "pumps", 2)), without(doc(domain, "pumps", 1))})
	list, err = s.BaselineVersions(ctx, domain, "pumps", 2, 10)
	want(t, "BaselineVersions before 2", list, err, []*registrar.BaselineDocument{without(doc(domain, "pumps", 1))})
}

func testDeliveries(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	given := func(domain string, n int, group string, version int64) *registrar.BaselineDelivery {
		return &registrar.BaselineDelivery{
			Domain: domain, DeviceID: id(n), Version: 1_900_000_000 + version, Group: group, DocumentVersion: version, Content: hash("c"), SHA256: hash("s"), At: at(n),
		}
	}
	put := func(all ...*registrar.BaselineDelivery) {
		t.Helper()
		commit(t, s, &registrar.Change{PutDeliveries: all})
	}
	if _, err := s.BaselineDelivery(ctx, domain, id(1)); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("BaselineDelivery of none: error %v, want ErrNotFound", err)
	}
	put(given(domain, 1, "pumps", 1), given(domain, 2, "pumps", 2), given(domain, 3, "", 1), given("other", 1, "pumps", 2))
	said := given(domain, 1, "pumps", 2)
	said.Status, said.Message, said.AcknowledgedAt = registrar.BaselineFailed, "no space", at(9)
	put(said)
	got, err := s.BaselineDelivery(ctx, domain, id(1))
	want(t, "BaselineDelivery", got, err, said)
	got, err = s.BaselineDelivery(ctx, domain, id(2))
	want(t, "BaselineDelivery of a device that said nothing", got, err, given(domain, 2, "pumps", 2))
	if !got.AcknowledgedAt.Equal(time.Time{}) {
		t.Errorf("a device that said nothing has a time of it: %s", got.AcknowledgedAt)
	}
	counts, err := s.CountBaselines(ctx, domain)
	want(t, "CountBaselines", counts, err, []*registrar.BaselineCount{
		{Group: "", DocumentVersion: 1, Devices: 1},
		{Group: "pumps", DocumentVersion: 2, Devices: 1},
		{Group: "pumps", DocumentVersion: 2, Status: registrar.BaselineFailed, Devices: 1},
	})
}
