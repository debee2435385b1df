package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/briskest/briskest/registrar"
)

func (s *state) putGroups(g *registrar.GroupDocument) error {
	all := s.groups[g.Domain]
	row := *g
	row.Document, row.At = bytes.Clone(g.Document), moment(g.At)
	newest := int64(len(all))
	switch {
	case g.Version == newest && newest > 0 && bytes.Equal(all[newest-1].Document, g.Document):
		all = slices.Clone(all)
		all[newest-1] = &row
	case g.Version == newest+1:
		all = append(slices.Clip(all), &row)
	default:
		return fmt.Errorf("version %d of the groups; the newest is %d: %w", g.Version, newest, registrar.ErrConflict)
	}
	s.groups[g.Domain] = all
	return nil
}

func (s *state) regroup(r *registrar.Regrouping) {
	d := s.devices[name{r.Domain, r.DeviceID}]
	if d == nil || d.Group != r.From || d.GroupPinned != r.FromPinned {
		return
	}
	moved := copyDevice(d)
	moved.Group, moved.GroupPinned = r.Group, r.Pinned
	s.devices[name{r.Domain, r.DeviceID}] = moved
}

// GroupDocument implements registrar.GroupDocuments.
func (m *Memory) GroupDocument(ctx context.Context, domain string, version int64) (*registrar.GroupDocument, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	all := s.groups[domain]
	if version == 0 {
		version = int64(len(all))
	}
	if version < 1 || version > int64(len(all)) {
		return nil, registrar.ErrNotFound
	}
	row := *all[version-1]
	return &row, nil
}

// ListGroupDocuments implements registrar.GroupDocuments.
func (m *Memory) ListGroupDocuments(ctx context.Context, domain string, before int64, limit int) ([]*registrar.GroupDocument, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []*registrar.GroupDocument
	for _, g := range slices.Backward(s.groups[domain]) {
		if (before == 0 || g.Version < before) && len(out) < limit {
			row := *g
			row.Document = nil
			out = append(out, &row)
		}
	}
	return out, nil
}
