package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

const (
	selectCount = "SELECT devices FROM device_counts WHERE domain = ?"
	addToCount  = `INSERT INTO device_counts (domain, devices) VALUES (?, ?)
		ON CONFLICT (domain) DO UPDATE SET devices = devices + excluded.devices`
)

// CountDevices implements registrar.Inventory.
func (s *Store) CountDevices(ctx context.Context, domain string) (int, error) {
	return count(s.db.QueryRow(ctx, selectCount, domain))
}

func count(row scanner) (int, error) {
	var n int
	err := row.Scan(&n)
	if errors.Is(err, sqlitedb.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// tally counts the devices that one change inserts, by domain. A domain whose devices do
// not count is there with 0: the trigger finds its row.
type tally map[string]int

func (t tally) add(devices ...*registrar.Device) {
	for _, d := range devices {
		n := t[d.Domain]
		if d.Counts() {
			n++
		}
		t[d.Domain] = n
	}
}

// within has do write devices, counts those that are new, and refuses more than q
// leaves room for. A domain that holds no more than before is never refused.
func (w writer) within(q *registrar.DeviceQuota, do func() error) error {
	before, err := 0, error(nil)
	if q != nil {
		if before, err = count(w.tx.QueryRow(selectCount, q.Domain)); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	for domain, n := range w.added {
		if _, err := w.tx.Exec(addToCount, domain, n); err != nil {
			return err
		}
	}
	if q == nil {
		return nil
	}
	after, err := count(w.tx.QueryRow(selectCount, q.Domain))
	if err == nil && after > before && after > q.Devices {
		err = fmt.Errorf("%d devices more, where it holds %d of %d: %w", after-before, before, q.Devices, registrar.ErrFull)
	}
	return err
}
