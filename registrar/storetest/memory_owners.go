package storetest

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

func (s *state) putOwner(o *registrar.DeviceOwner) {
	row := *o
	s.owners[name{o.Domain, o.DeviceID}] = &row
}

// DeviceOwner implements registrar.Owners.
func (m *Memory) DeviceOwner(ctx context.Context, domain, deviceID string) (*registrar.DeviceOwner, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	o := s.owners[name{domain, deviceID}]
	if o == nil {
		return nil, registrar.ErrNotFound
	}
	row := *o
	return &row, nil
}
