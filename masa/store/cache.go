package store

import (
	"context"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
)

// caches keep what is read more than once about a device that gets a voucher:
// the registrar asks for the audit-log next. Rows are kept by value, so that a
// caller who changes what it got changes nothing here; what slices point to
// never changes. That there is none is kept as well: most devices have no owner.
type caches struct {
	devices *sqlitedb.Cache[[]masa.Device] // by serial number
	owners  *sqlitedb.Cache[[]masa.Owner]  // by the device's ID
}

func newCaches() *caches {
	return &caches{sqlitedb.NewCache[[]masa.Device](), sqlitedb.NewCache[[]masa.Owner]()}
}

// forget drops what a change touches.
func (c *caches) forget(change *masa.Change) {
	for _, d := range change.PutDevices {
		c.devices.Forget(d.Domain, d.SerialNumber)
	}
	for _, o := range change.PutOwners {
		c.owners.Forget(o.Domain, o.DeviceID)
	}
}

// kept returns the rows that are kept under name, or else those of the query.
func kept[T any](ctx context.Context, s *Store, c *sqlitedb.Cache[[]T], domain, name string, scan func(scanner) (*T, error), query string) ([]*T, error) {
	rows, err := c.Read(domain, name, func() ([]T, error) {
		found, err := list(ctx, s, scan, query, domain, name)
		if err != nil {
			return nil, err
		}
		values := make([]T, len(found))
		for i, row := range found {
			values[i] = *row
		}
		return values, nil
	})
	if err != nil {
		return nil, err
	}
	var out []*T
	for _, row := range rows {
		out = append(out, &row)
	}
	return out, nil
}
