package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// readers is the number of connections that read side by side.
const readers = 4

// pool hands out reading connections, opened when first needed. A connection
// keeps its snapshot of the database until the next change: to take a new one
// costs system calls and the pages it has in memory, which for a small query is
// more than the query. So the one that was used last is handed out first, and
// the others take a new snapshot only when several read at once. This process
// alone writes (see [Open]), so that the pool knows when a snapshot is old.
type pool struct {
	dsn    string
	places chan struct{} // one in it for each connection handed out

	mu   sync.Mutex
	idle []*conn // open, the one used last at the end; guarded by mu

	changes atomic.Uint64 // that are durable; a snapshot of as many is the present one
	moving  atomic.Bool   // a transaction is ending: no snapshot stays open, so that the log can be written back
	closed  atomic.Bool
}

func newPool(dsn string, size int) *pool {
	return &pool{dsn: dsn, places: make(chan struct{}, size)}
}

// take returns a connection whose snapshot has every change that was answered
// before.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.open()
	if err != nil {
		<-p.places
		return nil, err
	}
	if err := c.look(p.changes.Load()); err != nil {
		p.drop(c)
		return nil, err
	}
	return c, nil
}

// open returns the idle connection that was used last, or a new one.
func (p *pool) open() (*conn, error) {
	if p.closed.Load() {
		return nil, ErrClosed
	}
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		c := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return openConn(p.dsn)
}

// give returns a connection.
func (p *pool) give(c *conn) {
	if c.looking && (p.moving.Load() || c.seen != p.changes.Load()) {
		if err := c.lookAway(); err != nil {
			p.drop(c)
			return
		}
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	<-p.places
}

// drop gives back a connection that is of no more use.
func (p *pool) drop(c *conn) {
	_ = c.close() // the error that made it useless is the one to report
	<-p.places
}

// ending comes before a transaction is made durable, and ended after. What
// nobody reads from at the moment lets go of its snapshot, which would keep the
// log from being written back, and then from being begun anew.
func (p *pool) ending() {
	p.moving.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if c.lookAway() == nil {
			return false
		}
		_ = c.close()
		return true
	})
}

// ended takes note that there may be a change.
func (p *pool) ended() {
	p.changes.Add(1)
	p.moving.Store(false)
}

// close waits for the connections handed out and closes all.
func (p *pool) close() error {
	p.closed.Store(true)
	for range cap(p.places) {
		p.places <- struct{}{}
	}
	defer func() {
		for range cap(p.places) {
			<-p.places
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := make([]error, 0, len(p.idle))
	for _, c := range p.idle {
		errs = append(errs, c.close())
	}
	p.idle = nil
	return errors.Join(errs...)
}

// QueryRow reads the first row. Errors come with [Row.Scan]. ctx ends the wait
// for a connection, not the reading.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	c, err := db.reads.take(ctx)
	if err != nil {
		return &Row{err: err}
	}
	defer db.reads.give(c)
	return c.queryRow(query, args...)
}

// Query reads rows. The caller closes them before it asks for more, since a
// connection is kept meanwhile.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	c, err := db.reads.take(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := c.query(query, args...)
	if err != nil {
		db.reads.give(c)
		return nil, err
	}
	return &Rows{
		ctx:    ctx,
		rows:   rows,
		values: make([]driver.Value, len(rows.Columns())),
		free:   func() { db.reads.give(c) },
	}, nil
}
