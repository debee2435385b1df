package store

import (
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

// caches are those of a Store. Rows are kept by value, so that a caller who
// changes what it got changes nothing here; what slices point to never changes.
type caches struct {
	credentials  *sqlitedb.Cache[registrar.Credential]
	certificates *sqlitedb.Cache[registrar.Certificate] // by ID
	serials      *sqlitedb.Cache[string]                // IDs of certificates, by serial number as a string of bytes
	devices      *sqlitedb.Cache[registrar.Device]      // by ID
	ids          *sqlitedb.Cache[string]                // of devices, by deviceName
}

func newCaches() *caches {
	return &caches{
		sqlitedb.NewCache[registrar.Credential](), sqlitedb.NewCache[registrar.Certificate](), sqlitedb.NewCache[string](),
		sqlitedb.NewCache[registrar.Device](), sqlitedb.NewCache[string](),
	}
}

// forget drops what a change touches.
func (c *caches) forget(change *registrar.Change) {
	for _, k := range change.PutCredentials {
		c.credentials.Forget(k.Domain, k.User)
	}
	for _, d := range change.PutDevices {
		c.devices.Forget(d.Domain, d.ID)
		c.ids.Forget(d.Domain, deviceName(d.Manufacturer, d.SerialNumber))
	}
	for _, d := range change.AddDevices {
		c.ids.Forget(d.Domain, deviceName(d.Manufacturer, d.SerialNumber)) // and what is being read of it
	}
	for _, r := range change.Regroup {
		c.devices.Forget(r.Domain, r.DeviceID)
	}
	for _, rows := range [][]*registrar.Certificate{
		change.Intents, change.Issued, change.Abandoned, change.Revoked, change.Released, change.Adopted,
	} {
		for _, r := range rows {
			c.certificates.Forget(r.Domain, r.ID)
		}
	}
}

// regrouped drops devices whose group is not that of the change's PutDevices.
func (c *caches) regrouped(change *registrar.Change, kept []*registrar.Device) {
	for _, d := range kept {
		c.devices.Forget(d.Domain, d.ID)
	}
	for _, r := range change.Regroup {
		c.devices.Forget(r.Domain, r.DeviceID)
	}
}

// changed takes up what a change has put on record. Certificates that were just
// issued, and their devices, are kept: most are used at once.
func (c *caches) changed(change *registrar.Change) {
	c.forget(change)
	if len(change.Revoked) > 0 || len(change.Released) > 0 {
		return
	}
	for _, d := range change.PutDevices {
		row := *d
		asStored(&row.CreatedAt, &row.SeenAt)
		c.devices.Put(row.Domain, row.ID, row)
		c.ids.Put(row.Domain, deviceName(row.Manufacturer, row.SerialNumber), row.ID)
	}
	for _, r := range change.Issued {
		row := *r
		asStored(&row.NotBefore, &row.NotAfter, &row.IntendedAt, &row.IssuedAt, &row.RevokedAt)
		row.Explanation = ""
		c.certificates.Put(row.Domain, row.ID, row)
		c.serials.Put(row.Domain, string(row.Serial), row.ID)
	}
}

// deviceName is what tells the devices of a domain apart. No manufacturer's name has a NUL.
func deviceName(manufacturer, serialNumber string) string {
	return manufacturer + "\x00" + serialNumber
}

// asStored makes times what they are once read back: UTC, whole microseconds.
func asStored(times ...*time.Time) {
	for _, t := range times {
		*t = t.UTC().Truncate(time.Microsecond)
	}
}

// valued turns what a scan returns into a value.
func valued[V any](row *V, err error) (V, error) {
	if err != nil {
		var none V
		return none, err
	}
	return *row, nil
}

// pointed is the reverse, for the caller.
func pointed[V any](row V, err error) (*V, error) {
	if err != nil {
		return nil, err
	}
	return &row, nil
}
