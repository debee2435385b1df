package storetest

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/registrar"
)

// CountDevices implements registrar.Inventory.
func (m *Memory) CountDevices(ctx context.Context, domain string) (int, error) {
	s, err := m.read(ctx)
	if err != nil {
		return 0, err
	}
	return s.countDevices(domain), nil
}

func (s *state) countDevices(domain string) int {
	n := 0
	for _, d := range s.devices {
		if d.Domain == domain && d.Counts() {
			n++
		}
	}
	return n
}

// within has do write devices, and refuses more than q leaves room for.
func (s *state) within(q *registrar.DeviceQuota, do func() error) error {
	if q == nil {
		return do()
	}
	before := s.countDevices(q.Domain)
	if err := do(); err != nil {
		return err
	}
	if after := s.countDevices(q.Domain); after > before && after > q.Devices {
		return fmt.Errorf("%d devices of %d: %w", after, q.Devices, registrar.ErrFull)
	}
	return nil
}
