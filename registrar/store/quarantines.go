package store

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

const selectQuarantine = `SELECT domain, id, kind, manufacturer, value, reason, put_by, at, lifted_at, lifted_by FROM quarantines `

func scanQuarantine(row scanner) (*registrar.Quarantine, error) {
	var q registrar.Quarantine
	err := row.Scan(&q.Domain, &q.ID, (*string)(&q.Kind), &q.Manufacturer, &q.Value, &q.Reason, &q.By, &q.At, &q.LiftedAt, &q.LiftedBy)
	return &q, err
}

// Quarantines implements registrar.QuarantineRecords.
func (s *Store) Quarantines(ctx context.Context, domain string, inForce bool) ([]*registrar.Quarantine, error) {
	if inForce {
		return list(ctx, s, scanQuarantine, selectQuarantine+"WHERE domain = ? AND lifted_at = 0 ORDER BY id", domain)
	}
	return list(ctx, s, scanQuarantine, selectQuarantine+"WHERE domain = ? ORDER BY id", domain)
}

func (w writer) quarantine(q *registrar.Quarantine) error {
	return w.tx.Replace(w.t.quarantines, q.Domain, q.ID, string(q.Kind), q.Manufacturer, q.Value, q.Reason, q.By, q.At, q.LiftedAt, q.LiftedBy)
}
