package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/briskest/briskest/internal/trail"
)

// Snapshot is one state of a database file, whoever has it open meanwhile. It
// writes nothing and needs no lock. One goroutine at a time.
type Snapshot struct {
	c    *conn
	path string
}

// OpenSnapshot opens the state that the file has now. A file that is not there
// is an error.
func OpenSnapshot(path string) (*Snapshot, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	c, err := openConn(dsn(abs, readerPragmas(), "mode", "ro"))
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", abs, err)
	}
	s := &Snapshot{c: c, path: abs}
	_, err = c.exec("BEGIN")
	if err == nil { // the state is fixed by the first reading
		err = c.queryRow("SELECT count(*) FROM sqlite_schema").Scan(new(int64))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", abs, err), c.close())
	}
	return s, nil
}

// Close ends the snapshot.
func (s *Snapshot) Close() error { return s.c.close() }

// Query reads rows. The caller closes them, or reads them to the end, before it
// asks the same thing again.
func (s *Snapshot) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	rows, err := s.c.query(query, args...)
	if err != nil {
		return nil, err
	}
	return &Rows{ctx: ctx, rows: rows, values: make([]driver.Value, len(rows.Columns()))}, nil
}

// QueryRow reads the first row. Errors come with [Row.Scan].
func (s *Snapshot) QueryRow(query string, args ...any) *Row { return s.c.queryRow(query, args...) }

// LastHead returns the newest signed head as it is stored, nil if there is none.
// Nothing is verified.
func (s *Snapshot) LastHead() (*trail.Head, error) { return lastHead(s.c) }

// Leaves calls f with every entry from the given sequence number on, in order,
// as it is stored. The leaf is good until f returns; an error of f ends it. An
// entry that is missing is an error that wraps [ErrTrail].
func (s *Snapshot) Leaves(ctx context.Context, from int64, f func(seq int64, leaf []byte) error) error {
	rows, err := s.Query(ctx, "SELECT seq, leaf FROM trail_entries WHERE seq >= ? ORDER BY seq", from)
	if err != nil {
		return err
	}
	defer rows.close()
	for want := from; rows.Next(); want++ {
		var seq int64
		var leaf []byte
		if err := rows.Scan(&seq, &leaf); err != nil {
			return damaged("entry %d: %v", want, err)
		}
		if seq != want {
			return damaged("entry %d is missing, the next is %d", want, seq)
		}
		if err := f(seq, leaf); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Prove gives the prover every leaf, and checks that they are what the head was
// signed over; the head itself was verified by the caller.
func (s *Snapshot) Prove(ctx context.Context, p *trail.Prover, h *trail.Head) error {
	err := s.Leaves(ctx, 0, func(seq int64, leaf []byte) error {
		if seq < h.Size {
			p.Append(leaf)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.Size() != h.Size || p.Root() != h.Root {
		return damaged("its entries are not what head %d was signed over; hint: briskest trail verify", h.Number)
	}
	return nil
}
