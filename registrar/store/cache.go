package store

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/briskest/briskest/registrar"
)

// maxCached bounds each cache, in rows: 8 MB of certificates. In a full one any
// row makes room for a new one.
const maxCached = 4096

// generations is how many keys share a count of changes.
const generations = 256

// cache keeps rows that authenticate peers: a group credential that thousands
// of devices share, an RA's certificate, a device that renews. One process has
// the database open, and every change passes [Store.Commit], which forgets or
// replaces what it touched, in the order of the changes and before it returns:
// what is kept is what is on record.
type cache[V any] struct {
	seed maphash.Seed

	mu      sync.RWMutex
	rows    map[[2]string]V     // by domain and name; guarded by mu
	changes [generations]uint64 // by key's hash; guarded by mu
}

func newCache[V any]() *cache[V] {
	return &cache[V]{seed: maphash.MakeSeed(), rows: make(map[[2]string]V)}
}

func (c *cache[V]) slot(key [2]string) uint64 { return maphash.Comparable(c.seed, key) % generations }

// read returns the kept row, or what fetch finds. That is kept unless a change
// of the key, or of one that shares its count, came meanwhile.
func (c *cache[V]) read(domain, name string, fetch func() (V, error)) (V, error) {
	key := [2]string{domain, name}
	slot := c.slot(key)
	c.mu.RLock()
	row, ok := c.rows[key]
	before := c.changes[slot]
	c.mu.RUnlock()
	if ok {
		return row, nil
	}
	row, err := fetch()
	if err != nil {
		return row, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before == c.changes[slot] {
		c.keep(key, row)
	}
	return row, nil
}

func (c *cache[V]) forget(domain, name string) {
	key := [2]string{domain, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[c.slot(key)]++
	delete(c.rows, key)
}

// put keeps what a change has put on record.
func (c *cache[V]) put(domain, name string, row V) {
	key := [2]string{domain, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[c.slot(key)]++
	c.keep(key, row)
}

// keep keeps the row; mu is held.
func (c *cache[V]) keep(key [2]string, row V) {
	if _, ok := c.rows[key]; !ok && len(c.rows) >= maxCached {
		for other := range c.rows { // the map's order is as good as random
			delete(c.rows, other)
			break
		}
	}
	c.rows[key] = row
}

// caches are those of a Store. Rows are kept by value, so that a caller who
// changes what it got changes nothing here; what slices point to never changes.
type caches struct {
	credentials  *cache[registrar.Credential]
	certificates *cache[registrar.Certificate] // by serial number as a string of bytes
	devices      *cache[registrar.Device]      // by ID
	ids          *cache[string]                // of devices, by deviceName
}

func newCaches() *caches {
	return &caches{newCache[registrar.Credential](), newCache[registrar.Certificate](), newCache[registrar.Device](), newCache[string]()}
}

// forget drops what a change touches.
func (c *caches) forget(change *registrar.Change) {
	for _, k := range change.PutCredentials {
		c.credentials.forget(k.Domain, k.User)
	}
	for _, d := range change.PutDevices {
		c.devices.forget(d.Domain, d.ID)
		c.ids.forget(d.Domain, deviceName(d.Manufacturer, d.SerialNumber))
	}
	for _, rows := range [][]*registrar.Certificate{change.Intents, change.Issued, change.Abandoned, change.Revoked} {
		for _, r := range rows {
			c.certificates.forget(r.Domain, string(r.Serial))
		}
	}
}

// changed takes up what a change has put on record. Certificates that were just
// issued, and their devices, are kept: most are used at once.
func (c *caches) changed(change *registrar.Change) {
	c.forget(change)
	if len(change.Revoked) > 0 {
		return
	}
	for _, d := range change.PutDevices {
		row := *d
		asStored(&row.CreatedAt, &row.SeenAt)
		c.devices.put(row.Domain, row.ID, row)
		c.ids.put(row.Domain, deviceName(row.Manufacturer, row.SerialNumber), row.ID)
	}
	for _, r := range change.Issued {
		row := *r
		asStored(&row.NotBefore, &row.NotAfter, &row.IntendedAt, &row.IssuedAt, &row.RevokedAt)
		c.certificates.put(row.Domain, string(row.Serial), row)
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
