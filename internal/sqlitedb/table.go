package sqlitedb

import (
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// Table describes rows that the trail covers: for each row that is written,
// the digest of its columns goes into the trail entry of the change, and
// [DB.VerifyTrail] compares every row with the newest digest of its key. Make
// one with [NewTable].
type Table struct {
	// Name is the SQL table.
	Name string
	// Label is what the trail calls it: Name, or Name with "/part" where the
	// columns of one table change at different times.
	Label string
	// Key is the primary key; its first column is the domain.
	Key []string
	// Columns are the others that the digest covers.
	Columns []string
	// Initial are the values of Columns in a row that the trail has no digest
	// of yet. Nil if such a row must not be.
	Initial []any

	insert  string // fails where the key is taken
	upsert  string // insert or replace by key
	all     string // every row, in any order
	update  string // set what changes of a row that is the same otherwise; empty without Changing
	updated []int  // the places of update's values among those of Put
}

// NewTable describes the SQL table of that name. Key and columns are column
// names, in the order in which [Tx.Put] takes their values.
func NewTable(name string, key, columns []string) *Table {
	return NewPart(name, name, key, columns, nil)
}

// NewPart describes some columns of a table, under a label of their own.
// Initial is nil or the values of a row that only the other parts cover yet.
func NewPart(name, label string, key, columns []string, initial []any) *Table {
	t := &Table{Name: name, Label: label, Key: key, Columns: columns, Initial: initial}
	cols := strings.Join(append(append([]string(nil), key...), columns...), ", ")
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(key)+len(columns)), ", ")
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + " = excluded." + c
	}
	keys := strings.Join(key, ", ")
	t.insert = "INSERT INTO " + name + " (" + cols + ") VALUES (" + marks + ")"
	t.upsert = t.insert + " ON CONFLICT (" + keys + ") DO "
	if len(sets) == 0 {
		t.upsert += "NOTHING"
	} else {
		t.upsert += "UPDATE SET " + strings.Join(sets, ", ")
	}
	t.all = "SELECT " + cols + " FROM " + name
	return t
}

// Changing names the columns that a row's changes are about once it is there,
// for [Tx.Replace], and returns t. The indexes of others are then left alone.
func (t *Table) Changing(columns ...string) *Table {
	var sets, wheres []string
	var changing, same []int
	for i, c := range t.Key {
		wheres, same = append(wheres, c+" = ?"), append(same, i)
	}
	for i, c := range t.Columns {
		if slices.Contains(columns, c) {
			sets, changing = append(sets, c+" = ?"), append(changing, len(t.Key)+i)
			continue
		}
		// The sign keeps SQLite from looking for the row by another index than the key's.
		wheres, same = append(wheres, "+"+c+" IS ?"), append(same, len(t.Key)+i)
	}
	t.update = "UPDATE " + t.Name + " SET " + strings.Join(sets, ", ") + " WHERE " + strings.Join(wheres, " AND ")
	t.updated = append(changing, same...)
	return t
}

func appendValues(b []byte, values []driver.Value) []byte {
	for _, v := range values {
		b = appendValue(b, v)
	}
	return b
}

// sum digests a row, key included.
func sum(key []byte, columns []driver.Value, scratch []byte) ([32]byte, []byte) {
	scratch = append(scratch[:0], key...)
	scratch = appendValues(scratch, columns)
	return sha256.Sum256(scratch), scratch
}

// RowKey is the Key of a [trail.Row]: the canonical encoding of the values of a
// primary key, which are as for [Tx.Put].
func RowKey(values ...any) ([]byte, error) {
	var key []byte
	for i, a := range values {
		v, err := toValue(a)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		key = appendValue(key, v)
	}
	return key, nil
}
