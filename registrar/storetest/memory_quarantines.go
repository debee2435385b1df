package storetest

import (
	"context"
	"slices"
	"strings"

	"github.com/briskest/briskest/registrar"
)

func copyQuarantine(q *registrar.Quarantine) *registrar.Quarantine {
	c := *q
	c.At, c.LiftedAt = moment(q.At), moment(q.LiftedAt)
	return &c
}

func (s *state) putQuarantine(q *registrar.Quarantine) {
	s.quarantines[name{q.Domain, q.ID}] = copyQuarantine(q)
}

// Quarantines implements registrar.QuarantineRecords.
func (m *Memory) Quarantines(ctx context.Context, domain string, inForce bool) ([]*registrar.Quarantine, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []*registrar.Quarantine
	for key, q := range s.quarantines {
		if key.domain == domain && (!inForce || q.InForce()) {
			out = append(out, copyQuarantine(q))
		}
	}
	slices.SortFunc(out, func(a, b *registrar.Quarantine) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
