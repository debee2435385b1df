package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
)

// readers is the number of connections that read side by side.
const readers = 4

// pool hands out reading connections, opened when first needed.
type pool struct {
	dsn  string
	free chan *conn // nil for one not opened yet

	mu     sync.Mutex
	closed bool // guarded by mu
}

func newPool(dsn string, size int) *pool {
	p := &pool{dsn: dsn, free: make(chan *conn, size)}
	for range size {
		p.free <- nil
	}
	return p
}

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
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.free <- c
		return nil, ErrClosed
	}
	if c != nil {
		return c, nil
	}
	c, err := openConn(p.dsn)
	if err != nil {
		p.free <- nil
		return nil, err
	}
	return c, nil
}

// give returns a connection. There is always room for it.
func (p *pool) give(c *conn) { p.free <- c }

// close waits for the connections handed out and closes all.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
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
