package storetest

import (
	"testing"

	"github.com/briskest/briskest/masa"
)

func testRestores(t *testing.T, s masa.Store) {
	none, err := s.Restores(t.Context())
	if err != nil || len(none) != 0 {
		t.Errorf("Restores of an empty store = %v, %v", none, err)
	}
	first := &masa.Restore{ID: id(1), Domain: masa.DefaultDomain, MadeAt: at(1), RestoredAt: at(2), By: "cli:a"}
	second := &masa.Restore{ID: id(2), Domain: "other", MadeAt: at(3), RestoredAt: at(4), By: "cli:b"}
	commit(t, s, &masa.Change{PutRestores: []*masa.Restore{second}})
	commit(t, s, &masa.Change{PutRestores: []*masa.Restore{first}})
	confirmed := *second
	confirmed.ConfirmedAt, confirmed.ConfirmedBy = at(5), "cli:c"
	commit(t, s, &masa.Change{PutRestores: []*masa.Restore{&confirmed}})
	got, err := s.Restores(t.Context())
	want(t, "Restores", got, err, []*masa.Restore{first, &confirmed})
}
