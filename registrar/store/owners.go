package store

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

// DeviceOwner implements registrar.Owners.
func (s *Store) DeviceOwner(ctx context.Context, domain, deviceID string) (*registrar.DeviceOwner, error) {
	o := registrar.DeviceOwner{Domain: domain, DeviceID: deviceID}
	row := s.db.QueryRow(ctx, "SELECT owner FROM device_owners WHERE domain = ? AND device_id = ?", domain, deviceID)
	return &o, notFound(row.Scan(&o.Owner))
}

func (w writer) owner(o *registrar.DeviceOwner) error {
	return w.tx.Put(w.t.owners, o.Domain, o.DeviceID, o.Owner)
}
