package storetest

import (
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

func testQuarantines(t *testing.T, s registrar.Store) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put := func(q *registrar.Quarantine) {
		commit(t, s, &registrar.Change{PutQuarantines: []*registrar.Quarantine{q}})
	}
	second := &registrar.Quarantine{Domain: "default", ID: "02", Kind: registrar.QuarantineBatch, Manufacturer: "acme", Value: "B7", Reason: "recall", By: "ann", At: at}
	first := &registrar.Quarantine{Domain: "default", ID: "01", Kind: registrar.QuarantineGroup, Value: "pumps", By: "bob", At: at.Add(time.Hour)}
	put(second)
	put(first)
	put(&registrar.Quarantine{Domain: "other", ID: "03", Kind: registrar.QuarantineModel, Value: "x", At: at})
	got, err := s.Quarantines(t.Context(), "default", true)
	want(t, "Quarantines", got, err, []*registrar.Quarantine{first, second})

	lifted := *first
	lifted.LiftedAt, lifted.LiftedBy = at.Add(2*time.Hour), "ann"
	put(&lifted)
	got, err = s.Quarantines(t.Context(), "default", true)
	want(t, "Quarantines in force", got, err, []*registrar.Quarantine{second})
	got, err = s.Quarantines(t.Context(), "default", false)
	want(t, "all Quarantines", got, err, []*registrar.Quarantine{&lifted, second})
}
