package store

import (
	"sync"

	"github.com/briskest/briskest/registrar"
)

// maxCachedCredentials bounds the cache; what does not fit is read each time.
const maxCachedCredentials = 4096

// credentialCache keeps credentials that were read, so that a group credential
// that thousands of devices share is not read for each. One process has the
// database open, and every change of a credential passes [Store.Commit], which
// forgets it: what is kept is what is on record.
type credentialCache struct {
	mu         sync.RWMutex
	rows       map[[2]string]*registrar.Credential // by domain and user; guarded by mu
	generation uint64                              // counts changes; guarded by mu
}

// lookup returns a copy of the kept row, and the generation to keep another under.
func (c *credentialCache) lookup(domain, user string) (*registrar.Credential, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	row := c.rows[[2]string{domain, user}]
	if row == nil {
		return nil, c.generation
	}
	own := *row
	return &own, c.generation
}

// keep keeps a row that was read after generation began, unless a credential
// changed meanwhile.
func (c *credentialCache) keep(row *registrar.Credential, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation || len(c.rows) >= maxCachedCredentials {
		return
	}
	if c.rows == nil {
		c.rows = make(map[[2]string]*registrar.Credential)
	}
	own := *row
	c.rows[[2]string{row.Domain, row.User}] = &own
}

// forget drops everything: credentials change rarely.
func (c *credentialCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.rows)
}
