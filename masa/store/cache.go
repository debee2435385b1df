package store

import (
	"bytes"
	"time"

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
	// only has the last intent, and once that is issued the voucher where the
	// device has no other: by the device's ID, without Request and Voucher, some
	// 2 KB each.
	only *sqlitedb.Cache[masa.VoucherRecord]
}

func newCaches() *caches {
	return &caches{sqlitedb.NewCache[[]masa.Device](), sqlitedb.NewCache[[]masa.Owner](), sqlitedb.NewCache[masa.VoucherRecord]()}
}

// forget drops what a change touches.
func (c *caches) forget(change *masa.Change) {
	for _, d := range change.PutDevices {
		c.devices.Forget(d.Domain, d.SerialNumber)
	}
	for _, o := range change.PutOwners {
		c.owners.Forget(o.Domain, o.DeviceID)
	}
	for _, rows := range [][]*masa.VoucherRecord{change.Intents, change.Issued, change.Failed} {
		for _, v := range rows {
			c.only.Forget(v.Domain, v.DeviceID)
		}
	}
}

// changed takes up what a change has put on record. Vouchers are kept of changes
// with one alone, as an issuance's are. First says of an outcome that its voucher
// is the only one of its device.
func (c *caches) changed(change *masa.Change, first bool) {
	var kept masa.VoucherRecord
	var keep bool
	switch {
	case len(change.Intents)+len(change.Issued)+len(change.Failed) != 1:
	case len(change.Intents) == 1:
		kept, keep = listed(change.Intents[0]), true
	case len(change.Issued) == 1 && first:
		v := change.Issued[0]
		kept, keep = c.only.Kept(v.Domain, v.DeviceID)
		keep = keep && kept.ID == v.ID
		kept.State = masa.Issued
	}
	c.forget(change)
	if keep {
		c.only.Put(kept.Domain, kept.DeviceID, kept)
	}
}

// listed is what is listed of an intent.
func listed(v *masa.VoucherRecord) masa.VoucherRecord {
	row := *v
	row.State, row.Reason, row.Request, row.Voucher = masa.Intended, "", nil, nil
	row.Pinned, row.DomainID = bytes.Clone(v.Pinned), bytes.Clone(v.DomainID) // the request holds them, and is not to stay
	row.At, row.ExpiresOn = asStored(v.At), asStored(v.ExpiresOn)
	return row
}

// asStored returns the time as it is read from the database.
func asStored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
