package sqlitedb

import (
	"hash/maphash"
	"sync"
)

// maxCached bounds each cache, in rows: 8 MB of certificates. In a full one any
// row makes room for a new one.
const maxCached = 4096

// generations is how many keys share a count of changes.
const generations = 256

// Cache keeps rows, by domain and name, that are read again and again. One
// process has the database open: where every change forgets or replaces what it
// touched, in [Tx.OnCommit] and after an error of [DB.Commit], what is kept is
// what is on record. Its methods may be called concurrently.
type Cache[V any] struct {
	seed maphash.Seed

	mu      sync.RWMutex
	rows    map[[2]string]V     // by domain and name; guarded by mu
	changes [generations]uint64 // by key's hash; guarded by mu
	changed uint64              // in all; guarded by mu
}

// NewCache returns one without rows.
func NewCache[V any]() *Cache[V] {
	return &Cache[V]{seed: maphash.MakeSeed(), rows: make(map[[2]string]V)}
}

func (c *Cache[V]) slot(key [2]string) uint64 { return maphash.Comparable(c.seed, key) % generations }

// Read returns the kept row, or what fetch finds. That is kept unless a change
// of the key, or of one that shares its count, came meanwhile.
func (c *Cache[V]) Read(domain, name string, fetch func() (V, error)) (V, error) {
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

// Kept returns the row if it is kept.
func (c *Cache[V]) Kept(domain, name string) (row V, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	row, ok = c.rows[[2]string{domain, name}]
	return row, ok
}

// Changed returns a count that grows with every change, for [Cache.Offer].
func (c *Cache[V]) Changed() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changed
}

// Offer keeps a row that was read along with others, unless any row changed
// since Changed returned that count.
func (c *Cache[V]) Offer(domain, name string, row V, since uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == since {
		c.keep([2]string{domain, name}, row)
	}
}

// Forget drops the row, and what is being read of it now.
func (c *Cache[V]) Forget(domain, name string) {
	key := [2]string{domain, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[c.slot(key)]++
	c.changed++
	delete(c.rows, key)
}

// Put keeps what a change has put on record.
func (c *Cache[V]) Put(domain, name string, row V) {
	key := [2]string{domain, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[c.slot(key)]++
	c.changed++
	c.keep(key, row)
}

// keep keeps the row; mu is held.
func (c *Cache[V]) keep(key [2]string, row V) {
	if _, ok := c.rows[key]; !ok && len(c.rows) >= maxCached {
		for other := range c.rows { // the map's order is as good as random
			delete(c.rows, other)
			break
		}
	}
	c.rows[key] = row
}
