package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// Row is the first row of a result, or the reason that there is none.
type Row struct {
	values []driver.Value
	err    error
}

// Scan stores the columns in dest: pointers to string, []byte, [32]byte, int,
// int64, bool or time.Time, one for each column. NULL gives the zero value.
// Without a row it returns [ErrNoRows].
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return scan(r.values, dest)
}

func scan(values []driver.Value, dest []any) error {
	if len(values) != len(dest) {
		return fmt.Errorf("%d columns for %d destinations", len(values), len(dest))
	}
	for i, d := range dest {
		if err := scanValue(values[i], d); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// queryRow reads the first row and frees the statement.
func (c *conn) queryRow(query string, args ...any) *Row {
	rows, err := c.query(query, args...)
	if err != nil {
		return &Row{err: err}
	}
	r := &Row{values: make([]driver.Value, len(rows.Columns()))}
	r.err = rows.Next(r.values)
	if errors.Is(r.err, io.EOF) {
		r.err = ErrNoRows
	}
	if err := rows.Close(); err != nil && r.err == nil {
		r.err = classify(err, query)
	}
	return r
}

// Rows is a result that is read row by row. It keeps a connection until it is
// closed, or read to its end.
type Rows struct {
	ctx    context.Context //nolint:containedctx // lives no longer than the query that it was given for
	rows   driver.Rows
	values []driver.Value
	err    error
	free   func()
}

// Next reads the next row. It returns false at the end and after an error.
func (r *Rows) Next() bool {
	if r.err != nil || r.rows == nil {
		return false
	}
	if err := r.ctx.Err(); err != nil {
		r.err = err
	} else if err := r.rows.Next(r.values); err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	} else if err == nil {
		return true
	}
	r.close()
	return false
}

// Scan stores the columns of the row in dest, as [Row.Scan] does.
func (r *Rows) Scan(dest ...any) error { return scan(r.values, dest) }

// Err returns the error that ended the rows, if one did.
func (r *Rows) Err() error { return r.err }

// Close gives the connection back. It may be called more than once and returns
// what Err does.
func (r *Rows) Close() error {
	r.close()
	return r.err
}

func (r *Rows) close() {
	if r.rows == nil {
		return
	}
	if err := r.rows.Close(); err != nil && r.err == nil {
		r.err = err
	}
	r.rows = nil
	if r.free != nil {
		r.free()
	}
}
