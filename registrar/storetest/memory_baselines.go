package storetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/briskest/briskest/registrar"
)

func (s *state) putBaseline(d *registrar.BaselineDocument) error {
	key := name{d.Domain, d.Group}
	all := s.baselines[key]
	if d.Version != int64(len(all))+1 {
		return conflict("version %d of the baseline; the newest is %d", d.Version, len(all))
	}
	row := *d
	row.Document, row.At = bytes.Clone(d.Document), moment(d.At)
	s.baselines[key] = append(slices.Clip(all), &row)
	return nil
}

func (s *state) putDelivery(d *registrar.BaselineDelivery) {
	row := *d
	row.At, row.AcknowledgedAt = moment(d.At), moment(d.AcknowledgedAt)
	s.deliveries[name{d.Domain, d.DeviceID}] = &row
}

// BaselineDocument implements registrar.BaselineRecords.
func (m *Memory) BaselineDocument(ctx context.Context, domain, group string, version int64) (*registrar.BaselineDocument, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	all := s.baselines[name{domain, group}]
	if version == 0 {
		version = int64(len(all))
	}
	if version < 1 || version > int64(len(all)) {
		return nil, registrar.ErrNotFound
	}
	row := *all[version-1]
	return &row, nil
}

// ListBaselines implements registrar.BaselineRecords.
func (m *Memory) ListBaselines(ctx context.Context, domain string) ([]*registrar.BaselineDocument, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []*registrar.BaselineDocument
	for key, all := range s.baselines {
		if key.domain == domain {
			row := *all[len(all)-1]
			row.Document = nil
			out = append(out, &row)
		}
	}
	slices.SortFunc(out, func(a, b *registrar.BaselineDocument) int { return cmp.Compare(a.Group, b.Group) })
	return out, nil
}

// BaselineVersions implements registrar.BaselineRecords.
func (m *Memory) BaselineVersions(ctx context.Context, domain, group string, before int64, limit int) ([]*registrar.BaselineDocument, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []*registrar.BaselineDocument
	for _, d := range slices.Backward(s.baselines[name{domain, group}]) {
		if (before == 0 || d.Version < before) && len(out) < limit {
			row := *d
			row.Document = nil
			out = append(out, &row)
		}
	}
	return out, nil
}

// BaselineDelivery implements registrar.BaselineRecords.
func (m *Memory) BaselineDelivery(ctx context.Context, domain, deviceID string) (*registrar.BaselineDelivery, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	d := s.deliveries[name{domain, deviceID}]
	if d == nil {
		return nil, registrar.ErrNotFound
	}
	row := *d
	return &row, nil
}

// CountBaselines implements registrar.BaselineRecords.
func (m *Memory) CountBaselines(ctx context.Context, domain string) ([]*registrar.BaselineCount, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[registrar.BaselineCount]int{}
	for key, d := range s.deliveries {
		if key.domain == domain {
			counts[registrar.BaselineCount{Group: d.Group, DocumentVersion: d.DocumentVersion, Status: d.Status}]++
		}
	}
	var out []*registrar.BaselineCount
	for key, n := range counts {
		key.Devices = n
		out = append(out, &key)
	}
	slices.SortFunc(out, func(a, b *registrar.BaselineCount) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.DocumentVersion, b.DocumentVersion), cmp.Compare(a.Status, b.Status))
	})
	return out, nil
}
