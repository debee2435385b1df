package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"
)

// readers is the number of connections that read side by side.
const readers = 4

// pool hands out reading connections, opened when first needed. A connection
// keeps its snapshot of the database until the next change: to take a new one
// costs system calls and the pages it has in memory, which for a small query is
// more than the query. This process alone writes (see [Open]), so that the pool
// knows when a snapshot is old.
type pool struct {
	dsn  string
	free chan *conn // nil for one not opened yet

	changes atomic.Uint64 // that are durable; a snapshot of as many is the present one
	moving  atomic.Bool   // a transaction is ending: no snapshot stays open, so that the log can be written back
	closed  atomic.Bool
}

func newPool(dsn string, size int) *pool {
	p := &pool{dsn: dsn, free: make(chan *conn, size)}
	for range size {
		p.free <- nil
	}
	return p
}

// take returns a connection whose snapshot has every change that was answered
// before.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var c *conn
	select {
	case c = <-p.free:
	default:
		select {
		case c = <-p.free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if p.closed.Load() {
		p.free <- c
		return nil, ErrClosed
	}
	if c == nil {
		var err error
		if c, err = openConn(p.dsn); err != nil {
			p.free <- nil
			return nil, err
		}
	}
	if err := c.look(p.changes.Load()); err != nil {
		p.drop(c)
		return nil, err
	}
	return c, nil
}

// give returns a connection. There is always room for it.
func (p *pool) give(c *conn) {
	if c.looking && (p.moving.Load() || c.seen != p.changes.Load()) {
		if err := c.lookAway(); err != nil {
			p.drop(c)
			return
		}
	}
	p.free <- c
}

// drop gives back a connection that is of no more use.
func (p *pool) drop(c *conn) {
	_ = c.close() // the error that made it useless is the one to report
	p.free <- nil
}

// ending comes before a transaction is made durable, and ended after. What
// nobody reads from at the moment lets go of its snapshot, which would keep the
// log from being written back, and then from being begun anew.
func (p *pool) ending() {
	p.moving.Store(true)
	for range cap(p.free) {
		select {
		case c := <-p.free:
			if c == nil || !c.looking || c.lookAway() == nil {
				p.free <- c
			} else {
				p.drop(c)
			}
		default:
			return
		}
	}
}

// ended takes note that there may be a change.
func (p *pool) ended() {
	p.changes.Add(1)
	p.moving.Store(false)
}

// close waits for the connections handed out and closes all.
func (p *pool) close() error {
	p.closed.Store(true)
	errs := make([]error, 0, cap(p.free))
	for range cap(p.free) {
		if c := <-p.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	for range cap(p.free) {
		p.free <- nil
	}
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
