package sqlitedb

import (
	"context"
	"crypto"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// Report is what a verified trail comes to.
type Report struct {
	Entries int64    // in the log
	Heads   int64    // signed, each checked
	Rows    int64    // of the covered tables, each checked
	Head    [32]byte // root of the whole log
}

// VerifyTrail recomputes the log from its first entry, checks every signed head
// on the way, and compares every row of Options.Tables with what the trail last
// said of it. It reads one state of the database while the writer goes on. A
// difference is an error that wraps [ErrTrail] and names the place. It keeps
// about 100 bytes in memory for each row.
func (db *DB) VerifyTrail(ctx context.Context) (*Report, error) {
	return VerifyFile(ctx, &VerifyOptions{
		Path: db.opts.Path, Origin: db.opts.Origin, Key: db.opts.TrailKey.Public(), Tables: db.opts.Tables,
		Differences: db.opts.Differences,
	})
}

// VerifyOptions says what to verify.
type VerifyOptions struct {
	Path   string           // of the database file
	Origin string           // as in [Options]
	Key    crypto.PublicKey // of [Options].TrailKey
	Tables []*Table         // as in [Options]
	// Differences is as in [Options].
	Differences []string
	// Witnesses are heads that were kept elsewhere: each has to be in the log
	// still, which a log whose end was cut, or that was replaced, does not have.
	// The caller has verified their signatures.
	Witnesses []*trail.Head
	// Entry is called with each entry, in order; nil for none. An error ends it all.
	Entry func(e *trail.Entry) error
	// Also is called at the end, with the state that was verified; nil for none.
	Also func(ctx context.Context, s *Snapshot) error
}

// VerifyFile does what [DB.VerifyTrail] does on a database that this process,
// another one, or nobody has open. It writes nothing.
func VerifyFile(ctx context.Context, opts *VerifyOptions) (*Report, error) {
	s, err := OpenSnapshot(opts.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	v := &verification{ctx: ctx, s: s, c: s.c, opts: opts, latest: make(map[digest]rowState), witnesses: make(map[int64]*trail.Head)}
	report, err := v.run()
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", s.path, err)
	}
	return report, nil
}

// digest is the start of a SHA-256: enough to tell rows apart and too much to
// be met on purpose.
type digest [16]byte

// rowState is what the trail last said of a row.
type rowState struct {
	sum     digest
	seq     int64 // of the entry that said it
	removed bool
}

type verification struct {
	ctx    context.Context //nolint:containedctx // lives no longer than the call it was given to
	s      *Snapshot
	c      *conn // of s
	opts   *VerifyOptions
	edge   trail.Edge
	number int64 // of the last head checked
	latest map[digest]rowState
	rows   int64
	buf    []byte

	witnesses map[int64]*trail.Head // by number, not met yet
}

func (v *verification) run() (*Report, error) {
	for _, w := range v.opts.Witnesses {
		if other := v.witnesses[w.Number]; other != nil && (other.Size != w.Size || other.Root != w.Root) {
			return nil, damaged("two witnesses have head %d, and differ: the log was replaced between them", w.Number)
		}
		v.witnesses[w.Number] = w
	}
	if err := v.log(); err != nil {
		return nil, err
	}
	for _, w := range v.witnesses {
		return nil, damaged("a witness has head %d over %d entries, and the log has only %d heads and %d entries: its end was cut, or an older copy put in its place",
			w.Number, w.Size, v.number, v.edge.Size())
	}
	if err := v.checkEdge(); err != nil {
		return nil, err
	}
	for _, t := range v.opts.Tables {
		if err := v.table(t); err != nil {
			return nil, err
		}
	}
	if err := v.nothingLeft(); err != nil {
		return nil, err
	}
	if err := v.derived(); err != nil {
		return nil, err
	}
	if v.opts.Also != nil {
		if err := v.opts.Also(v.ctx, v.s); err != nil {
			return nil, err
		}
	}
	return &Report{Entries: v.edge.Size(), Heads: v.number, Rows: v.rows, Head: v.edge.Root()}, nil
}

// derived looks for a difference between tables that the trail covers and those
// that are derived from them.
func (v *verification) derived() error {
	for _, query := range v.opts.Differences {
		rows, err := v.query(query)
		if err != nil {
			return err
		}
		differs := rows.Next()
		err = rows.Err()
		rows.close()
		switch {
		case err != nil:
			return err
		case differs:
			return damaged("a table is not what it is derived from: %s", query)
		}
	}
	return nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTrail, fmt.Sprintf(format, args...))
}

func (v *verification) query(query string) (*Rows, error) {
	rows, err := v.c.query(query)
	if err != nil {
		return nil, err
	}
	return &Rows{ctx: v.ctx, rows: rows, values: make([]driver.Value, len(rows.Columns()))}, nil
}

// log walks the entries and the heads side by side.
func (v *verification) log() error {
	heads, err := v.query("SELECT number, size, root, signature FROM trail_heads ORDER BY number")
	if err != nil {
		return err
	}
	defer heads.close()
	entries, err := v.query("SELECT seq, domain, device, leaf FROM trail_entries ORDER BY seq")
	if err != nil {
		return err
	}
	defer entries.close()
	for {
		h, err := v.nextHead(heads)
		if err != nil {
			return err
		}
		if h == nil {
			break
		}
		if err := v.entriesUpTo(entries, h.Size); err != nil {
			return err
		}
		if v.edge.Root() != h.Root {
			return damaged("an entry before %d is not what head %d was signed over", h.Size, h.Number)
		}
		if err := h.Verify(v.opts.Origin, v.opts.Key); err != nil {
			return fmt.Errorf("%w: %w", ErrTrail, err)
		}
		if w := v.witnesses[h.Number]; w != nil {
			if w.Size != h.Size || w.Root != h.Root {
				return damaged("head %d is not the one that a witness has: the log was replaced from there on or before", h.Number)
			}
			delete(v.witnesses, h.Number)
		}
	}
	if entries.Next() {
		return damaged("entry %d and what follows is not covered by a signed head (the last is %d)", v.edge.Size(), v.number)
	}
	return entries.Err()
}

func (v *verification) nextHead(heads *Rows) (*trail.Head, error) {
	if !heads.Next() {
		return nil, heads.Err()
	}
	h := &trail.Head{}
	if err := heads.Scan(&h.Number, &h.Size, &h.Root, &h.Signature); err != nil {
		return nil, damaged("the head after %d: %v", v.number, err)
	}
	if h.Number != v.number+1 {
		return nil, damaged("head %d is missing, the next is %d", v.number+1, h.Number)
	}
	if h.Size <= v.edge.Size() {
		return nil, damaged("head %d covers %d entries, no more than the one before", h.Number, h.Size)
	}
	v.number = h.Number
	return h, nil
}

func (v *verification) entriesUpTo(entries *Rows, size int64) error {
	for v.edge.Size() < size {
		if !entries.Next() {
			if err := entries.Err(); err != nil {
				return err
			}
			return damaged("entry %d is missing, head %d covers %d", v.edge.Size(), v.number, size)
		}
		if err := v.entry(entries); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) entry(row *Rows) error {
	want := v.edge.Size()
	var seq int64
	var domain, device string
	var leaf []byte
	if err := row.Scan(&seq, &domain, &device, &leaf); err != nil {
		return damaged("entry %d: %v", want, err)
	}
	if seq != want {
		return damaged("entry %d is missing, the next is %d", want, seq)
	}
	e, err := trail.DecodeEntry(leaf)
	if err != nil {
		return damaged("entry %d: %v", seq, err)
	}
	if e.Seq != seq || e.Domain != domain || e.Device != device {
		return damaged("entry %d says that it is entry %d of domain %q, device %q", seq, e.Seq, e.Domain, e.Device)
	}
	for i := range e.Rows {
		r := &e.Rows[i]
		v.latest[v.id(r.Table, r.Key)] = rowState{sum: digest(r.Sum[:]), seq: seq, removed: r.Sum == [32]byte{}}
	}
	v.edge.Append(leaf)
	if v.opts.Entry != nil {
		return v.opts.Entry(e)
	}
	return nil
}

// id names a row in memory.
func (v *verification) id(label string, key []byte) digest {
	v.buf = append(append(v.buf[:0], label...), 0)
	v.buf = append(v.buf, key...)
	full, _ := sum(v.buf, nil, nil)
	return digest(full[:])
}

// checkEdge checks the row that the log is continued from.
func (v *verification) checkEdge() error {
	var number int64
	var raw []byte
	err := v.c.queryRow("SELECT number, edge FROM trail_edge WHERE id = 1").Scan(&number, &raw)
	if errors.Is(err, ErrNoRows) && v.edge.Size() == 0 {
		return nil
	}
	if err != nil {
		return damaged("the edge of the log: %v", err)
	}
	want, _ := v.edge.AppendBinary(nil) // never fails
	if number != v.number || string(raw) != string(want) {
		return damaged("the log was %d heads long, now it is %d: entries or heads at its end are missing, or its edge was changed",
			number, v.number)
	}
	return nil
}

// table compares the rows of one table, or part, with the trail.
func (v *verification) table(t *Table) error {
	initial, err := initialValues(t)
	if err != nil {
		return err
	}
	rows, err := v.query(t.all)
	if err != nil {
		return err
	}
	defer rows.close()
	var key, scratch []byte
	var now [32]byte
	for rows.Next() {
		key = appendValues(key[:0], rows.values[:len(t.Key)])
		now, scratch = sum(key, rows.values[len(t.Key):], scratch)
		id := v.id(t.Label, key)
		said, ok := v.latest[id]
		if !ok && t.Initial != nil {
			first, _ := sum(key, initial, nil)
			said, ok = rowState{sum: digest(first[:])}, true
		}
		if !ok || said.removed {
			return damaged("%s has a row %s that the trail does not know", t.Name, printKey(rows.values[:len(t.Key)]))
		}
		if said.sum != digest(now[:]) {
			return damaged("%s row %s is not as entry %d of the trail left it", t.Label, printKey(rows.values[:len(t.Key)]), said.seq)
		}
		delete(v.latest, id)
		v.rows++
	}
	return rows.Err()
}

func initialValues(t *Table) ([]driver.Value, error) {
	out := make([]driver.Value, len(t.Initial))
	for i, a := range t.Initial {
		val, err := toValue(a)
		if err != nil {
			return nil, err
		}
		out[i] = val
	}
	return out, nil
}

// nothingLeft checks that every row that the trail knows was there.
func (v *verification) nothingLeft() error {
	var lost *rowState
	for _, s := range v.latest {
		if !s.removed && (lost == nil || s.seq < lost.seq) {
			lost = &s
		}
	}
	if lost == nil {
		return nil
	}
	var leaf []byte
	if err := v.c.queryRow("SELECT leaf FROM trail_entries WHERE seq = ?", lost.seq).Scan(&leaf); err != nil {
		return damaged("a row that entry %d of the trail wrote is gone", lost.seq)
	}
	e, err := trail.DecodeEntry(leaf)
	if err != nil {
		return damaged("a row that entry %d of the trail wrote is gone", lost.seq)
	}
	for i := range e.Rows {
		if s, ok := v.latest[v.id(e.Rows[i].Table, e.Rows[i].Key)]; ok && s.seq == lost.seq {
			return damaged("a row of %s that entry %d of the trail wrote is gone (key %q)", e.Rows[i].Table, lost.seq, e.Rows[i].Key)
		}
	}
	return damaged("a row that entry %d of the trail wrote is gone", lost.seq)
}

// printKey shows the values of a key: texts as they are, bytes in hex.
func printKey(values []driver.Value) string {
	s := ""
	for i, val := range values {
		if i > 0 {
			s += "/"
		}
		if b, ok := val.([]byte); ok {
			s += fmt.Sprintf("%x", b)
		} else {
			s += fmt.Sprint(val)
		}
	}
	return s
}
