package storetest

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

// WalkDevices implements registrar.Walks, in the order of IDs and three devices a page.
func (m *Memory) WalkDevices(ctx context.Context, w *registrar.DeviceWalk) error {
	for after := ""; ; {
		page, err := m.ListDevices(ctx, w.Domain, after, 3)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].ID
		for i, d := range page {
			page[i] = w.Facts.Only(d)
		}
		if err := w.Look(page)(); err != nil {
			return err
		}
	}
}
