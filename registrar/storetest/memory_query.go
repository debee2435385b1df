package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/briskest/briskest/registrar"
)

// QueryDevices implements registrar.Inventory. Cursors are numbers of devices.
func (m *Memory) QueryDevices(ctx context.Context, q *registrar.DeviceQuery) (*registrar.DevicePage, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	skip := 0
	if q.After != "" {
		if skip, err = strconv.Atoi(q.After); err != nil || skip < 0 {
			return nil, fmt.Errorf("cursor %q: %w", q.After, registrar.ErrInvalid)
		}
	}
	all := pick(s.devices, 0, func(d *registrar.Device) bool { return d.Domain == q.Domain && q.Matches(d) }, queryOrder(q), copyDevice)
	all = all[min(skip, len(all)):]
	page := &registrar.DevicePage{Devices: all[:min(q.Limit, len(all))]}
	if len(page.Devices) < len(all) {
		page.Next = strconv.Itoa(skip + len(page.Devices))
	}
	for _, d := range page.Devices {
		if !q.WithIDevID {
			d.IDevID = nil
		}
	}
	return page, nil
}

func queryOrder(q *registrar.DeviceQuery) func(a, b *registrar.Device) int {
	if q.SerialPrefix == "" {
		return byID
	}
	return func(a, b *registrar.Device) int {
		return cmp.Or(cmp.Compare(a.SerialNumber, b.SerialNumber), cmp.Compare(a.Manufacturer, b.Manufacturer))
	}
}

// DevicesNamed implements registrar.Inventory.
func (m *Memory) DevicesNamed(ctx context.Context, domain, manufacturer string, serialNumbers []string) ([]*registrar.Device, error) {
	s, err := m.read(ctx)
	return pick(s.devices, 0, func(d *registrar.Device) bool {
		return d.Domain == domain && d.Manufacturer == manufacturer && slices.Contains(serialNumbers, d.SerialNumber)
	}, byID, copyDevice), err
}
