package sqlitedb

import (
	"context"
	"crypto/sha256"
	"math"
	"slices"

	"github.com/briskest/briskest/internal/trail"
)

// Selected are rows of a table that the trail covers, by a condition over its columns.
type Selected struct {
	Table *Table
	Where string // SQL
	Args  []any
	// First has the entry go along that said of the row first: how it came on record.
	First bool
}

// wantedRow is a row that the trail is asked about.
type wantedRow struct {
	record  trail.Record
	sum     [32]byte
	initial bool // it may be one that the trail has no digest of
	said    bool
	now     [32]byte // what the trail said last
	first   int64    // the entry that said of it first; -1: not asked for
}

// unsaid is the first entry of a row that none was found of yet.
const unsaid = math.MaxInt64

// Extract takes out of the log of h, which the caller has verified, the given
// entries and the rows, each with the entry that has its newest digest, and its first where that is asked for. A row that
// is not as the trail left it is an error that wraps [ErrTrail]. Its time grows
// with the log, and its memory with what is taken out.
func (s *Snapshot) Extract(ctx context.Context, h *trail.Head, entries []int64, rows []Selected) (*trail.Extract, error) {
	want, order, err := s.wanted(ctx, rows)
	if err != nil {
		return nil, err
	}
	if err := s.lastSaid(ctx, want); err != nil {
		return nil, err
	}
	out := &trail.Extract{Head: h}
	seqs := slices.Clone(entries)
	for _, name := range order {
		w := want[name]
		switch {
		case !w.said && w.initial:
			continue // nothing has been written to this part of the row
		case !w.said:
			return nil, damaged("%s has a row that the trail does not know", w.record.Table)
		case w.now != w.sum:
			return nil, damaged("a row of %s is not as entry %d of the trail left it", w.record.Table, w.record.Seq)
		}
		out.Records = append(out.Records, w.record)
		seqs = append(seqs, w.record.Seq)
		if w.first >= 0 {
			seqs = append(seqs, w.first)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	return out, s.prove(ctx, out, seqs)
}

// wanted reads the rows. Order is that of their names.
func (s *Snapshot) wanted(ctx context.Context, all []Selected) (map[string]*wantedRow, []string, error) {
	want := make(map[string]*wantedRow)
	var order []string
	for _, sel := range all {
		initial, err := initialValues(sel.Table)
		if err != nil {
			return nil, nil, err
		}
		rows, err := s.Query(ctx, sel.Table.all+" WHERE "+sel.Where, sel.Args...)
		if err != nil {
			return nil, nil, err
		}
		keys := len(sel.Table.Key)
		for rows.Next() {
			key := appendValues(nil, rows.values[:keys])
			w := &wantedRow{record: trail.Record{Table: sel.Table.Label, Values: appendValues(slices.Clone(key), rows.values[keys:])}, first: -1}
			w.sum = sha256.Sum256(w.record.Values)
			if sel.Table.Initial != nil {
				first, _ := sum(key, initial, nil)
				w.initial = first == w.sum
			}
			name := sel.Table.Label + "\x00" + string(key)
			if want[name] == nil {
				order = append(order, name)
			}
			if sel.First {
				w.first = unsaid
			}
			want[name] = w
		}
		if err := rows.Close(); err != nil {
			return nil, nil, err
		}
	}
	slices.Sort(order)
	return want, order, nil
}

// lastSaid finds what the trail said last of each.
func (s *Snapshot) lastSaid(ctx context.Context, want map[string]*wantedRow) error {
	if len(want) == 0 {
		return nil
	}
	var name []byte
	return s.Leaves(ctx, 0, func(seq int64, leaf []byte) error {
		e, err := trail.DecodeEntry(leaf)
		if err != nil {
			return damaged("entry %d: %v", seq, err)
		}
		for i := range e.Rows {
			name = append(append(append(name[:0], e.Rows[i].Table...), 0), e.Rows[i].Key...)
			if w := want[string(name)]; w != nil {
				w.said, w.now, w.record.Seq = true, e.Rows[i].Sum, seq
				if w.first == unsaid {
					w.first = seq
				}
			}
		}
		return nil
	})
}

// prove adds the entries with their proofs.
func (s *Snapshot) prove(ctx context.Context, out *trail.Extract, seqs []int64) error {
	prover := trail.NewProver(out.Head.Size)
	for _, seq := range seqs {
		if err := prover.Include(seq); err != nil {
			return err
		}
	}
	if err := s.Prove(ctx, prover, out.Head); err != nil {
		return err
	}
	for _, seq := range seqs {
		in, err := prover.Inclusion(seq)
		if err != nil {
			return err
		}
		p := trail.Proved{Seq: seq, Hashes: in.Hashes}
		if err := s.QueryRow("SELECT leaf FROM trail_entries WHERE seq = ?", seq).Scan(&p.Leaf); err != nil {
			return err
		}
		out.Entries = append(out.Entries, p)
	}
	return nil
}
