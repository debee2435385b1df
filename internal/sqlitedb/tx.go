package sqlitedb

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// Tx is the transaction that a change is applied in. It is good until the
// function it was given to returns.
type Tx struct {
	db      *DB
	c       *conn
	wrote   bool           // a statement of this change changed a row
	failed  bool           // a statement of this change failed in a way that may have ended the transaction
	entries []*trail.Entry // recorded by this change
	rows    []trail.Row    // covered by this change
	domain  string         // of the last row covered
	values  []driver.Value // scratch
	scratch []byte
	request *request // whose change this is
}

// Exec runs a statement and returns the number of rows it changed. A taken key
// is an error that wraps [ErrConstraint]. Rows of tables that the trail covers
// also need [Tx.Cover].
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	n, err := tx.c.exec(query, args...)
	tx.wrote = tx.wrote || n > 0
	tx.failed = tx.failed || err != nil && !errors.Is(err, ErrConstraint)
	return n, err
}

// OnCommit has f called once the change is durable, and before Commit returns.
// Such functions of all changes are called one after the other, in the order in
// which the changes took effect; they must not block or call Commit.
func (tx *Tx) OnCommit(f func()) { tx.request.after = append(tx.request.after, f) }

// QueryRow reads a row as this transaction sees it.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	r := tx.c.queryRow(query, args...)
	tx.failed = tx.failed || r.err != nil && !errors.Is(r.err, ErrNoRows)
	return r
}

// Insert inserts the row, or fails with [ErrConstraint] and changes nothing, and
// covers it. Values are as for [Tx.Put].
func (tx *Tx) Insert(t *Table, values ...any) error {
	if _, err := tx.Exec(t.insert, values...); err != nil {
		return err
	}
	return tx.Cover(t, values...)
}

// Put inserts the row or replaces the one with its key, and covers it. Values
// are those of t.Key and then of t.Columns.
func (tx *Tx) Put(t *Table, values ...any) error {
	if _, err := tx.Exec(t.upsert, values...); err != nil {
		return err
	}
	return tx.Cover(t, values...)
}

// Replace is [Tx.Put] for a row that is most likely there and differs in no more
// than the columns of [Table.Changing]; it costs less then, and more where it is not so.
func (tx *Tx) Replace(t *Table, values ...any) error {
	if t.update == "" || len(values) != len(t.updated) {
		return tx.Put(t, values...)
	}
	args := make([]any, len(values))
	for i, place := range t.updated {
		args[i] = values[place]
	}
	n, err := tx.Exec(t.update, args...)
	switch {
	case err != nil:
		return err
	case n == 0:
		return tx.Put(t, values...)
	default:
		return tx.Cover(t, values...)
	}
}

// Cover has the trail vouch for a row that [Tx.Exec] wrote: its values now, as
// for [Tx.Put].
func (tx *Tx) Cover(t *Table, values ...any) error {
	if len(values) != len(t.Key)+len(t.Columns) {
		return fmt.Errorf("sqlitedb: internal error: %d values for %s", len(values), t.Label)
	}
	stored, err := tx.stored(values)
	if err != nil {
		return err
	}
	if d, ok := stored[0].(string); ok {
		tx.domain = d
	}
	r := trail.Row{Table: t.Label, Key: appendValues(nil, stored[:len(t.Key)])}
	r.Sum, tx.scratch = sum(r.Key, stored[len(t.Key):], tx.scratch)
	tx.rows = append(tx.rows, r)
	return nil
}

// Uncover has the trail say that the row with that key was removed on purpose.
func (tx *Tx) Uncover(t *Table, key ...any) error {
	stored, err := tx.stored(key)
	if err != nil {
		return err
	}
	if d, ok := stored[0].(string); ok {
		tx.domain = d
	}
	tx.rows = append(tx.rows, trail.Row{Table: t.Label, Key: appendValues(nil, stored)})
	return nil
}

func (tx *Tx) stored(values []any) ([]driver.Value, error) {
	tx.values = tx.values[:0]
	for i, a := range values {
		v, err := toValue(a)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		tx.values = append(tx.values, v)
	}
	return tx.values, nil
}

// Record appends entries to the trail with the transaction. Seq is set in them
// once the change is durable.
func (tx *Tx) Record(entries ...*trail.Entry) { tx.entries = append(tx.entries, entries...) }
