package store

import (
	"context"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
)

const ownerColumns = `o.domain, o.id, o.device_id, o.name, o.key_hash, o.fingerprint, o.domain_id, o.since, o.until, o.source,
	o.registrar_url, o.est_domain`

// devicesBySerial reads devices with their owners: who asks for the one asks for
// the others next.
const devicesBySerial = `SELECT d.domain, d.id, d.product, d.serial_number, d.state, d.reason, d.idevid, d.batch, d.source, d.created_at,
	d.blocked_at, d.key_hash, d.built_at, d.idevid_signed, ` + ownerColumns + `
	FROM devices d LEFT JOIN owners o ON o.domain = d.domain AND o.device_id = d.id WHERE d.domain = ? AND d.serial_number = ?`

const ownersOfDevice = "SELECT " + ownerColumns + " FROM owners o WHERE o.domain = ? AND o.device_id = ?"

// FindDevices implements masa.Devices.
func (s *Store) FindDevices(ctx context.Context, domain, serialNumber string) ([]*masa.Device, error) {
	return kept(s.caches.devices, domain, serialNumber, func() ([]masa.Device, error) {
		return s.findDevices(ctx, domain, serialNumber)
	})
}

// findDevices reads devices, and keeps their owners.
func (s *Store) findDevices(ctx context.Context, domain, serialNumber string) ([]masa.Device, error) {
	changed := s.caches.owners.Changed()
	owners := make(map[string][]masa.Owner)
	var found []masa.Device
	_, err := list(ctx, s, func(row scanner) (*masa.Device, error) {
		var o masa.Owner
		d, err := scanDevice(row, ownerFields(&o)...)
		if err != nil {
			return nil, err
		}
		if _, seen := owners[d.ID]; !seen {
			owners[d.ID], found = nil, append(found, *d)
		}
		if o.ID != "" {
			owners[d.ID] = append(owners[d.ID], o)
		}
		return d, nil
	}, devicesBySerial, domain, serialNumber)
	if err != nil {
		return nil, err
	}
	for id, of := range owners {
		s.caches.owners.Offer(domain, id, inOrder(of), changed)
	}
	// There are few, and sorting costs SQLite more than finding.
	slices.SortFunc(found, func(a, b masa.Device) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

// Owners implements masa.Owners.
func (s *Store) Owners(ctx context.Context, domain, deviceID string) ([]*masa.Owner, error) {
	return kept(s.caches.owners, domain, deviceID, func() ([]masa.Owner, error) {
		var found []masa.Owner
		_, err := list(ctx, s, func(row scanner) (*masa.Owner, error) {
			var o masa.Owner
			err := row.Scan(ownerFields(&o)...)
			found = append(found, o)
			return &o, err
		}, ownersOfDevice, domain, deviceID)
		return inOrder(found), err
	})
}

func ownerFields(o *masa.Owner) []any {
	return []any{
		&o.Domain, &o.ID, &o.DeviceID, &o.Name, &o.KeyHash, &o.Fingerprint, &o.DomainID, &o.Since, &o.Until, &o.Source,
		&o.RegistrarURL, &o.ESTDomain,
	}
}

func inOrder(owners []masa.Owner) []masa.Owner {
	slices.SortFunc(owners, func(a, b masa.Owner) int { return strings.Compare(a.ID, b.ID) })
	return owners
}

// kept returns the rows that are kept under name, or else those that read finds.
func kept[T any](c *sqlitedb.Cache[[]T], domain, name string, read func() ([]T, error)) ([]*T, error) {
	rows, err := c.Read(domain, name, read)
	if err != nil {
		return nil, err
	}
	var out []*T
	for _, row := range rows {
		out = append(out, &row)
	}
	return out, nil
}
