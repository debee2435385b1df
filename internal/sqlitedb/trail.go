package sqlitedb

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// trailWriter continues the log. It belongs to the writer goroutine.
type trailWriter struct {
	origin string
	key    crypto.Signer
	edge   *trail.Edge
	number int64 // of the last head
	broken error // set after an error that leaves open what is durable

	leaf []byte // scratch
	bin  []byte // scratch
}

// tail is how the log will stand after a transaction.
type tail struct {
	edge   *trail.Edge
	number int64
}

// ErrTrail says that the trail in the database is not as this program left it.
var ErrTrail = errors.New("the trail is not as it was written")

// openTrail reads where the log ends, and checks that its last head says so.
func openTrail(c *conn, opts *Options) (*trailWriter, error) {
	w := &trailWriter{origin: opts.Origin, key: opts.TrailKey, edge: &trail.Edge{}}
	var last int64
	if err := c.queryRow("SELECT coalesce(max(seq), -1) FROM trail_entries").Scan(&last); err != nil {
		return nil, err
	}
	h, err := lastHead(c)
	if err != nil {
		return nil, err
	}
	var raw []byte
	err = c.queryRow("SELECT number, edge FROM trail_edge WHERE id = 1").Scan(&w.number, &raw)
	if errors.Is(err, ErrNoRows) && h == nil && last == -1 {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its edge: %w", ErrTrail, err)
	}
	if err := w.edge.UnmarshalBinary(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrail, err)
	}
	if h == nil || h.Number != w.number || h.Size != w.edge.Size() || h.Root != w.edge.Root() || last != h.Size-1 {
		return nil, fmt.Errorf("%w: last entry, last head and edge disagree; hint: briskest trail verify", ErrTrail)
	}
	if err := h.Verify(w.origin, w.key.Public()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrail, err)
	}
	return w, nil
}

// lastHead returns the newest head, nil if there is none.
func lastHead(c *conn) (*trail.Head, error) {
	h := &trail.Head{}
	err := c.queryRow("SELECT number, size, root, signature FROM trail_heads ORDER BY number DESC LIMIT 1").
		Scan(&h.Number, &h.Size, &h.Root, &h.Signature)
	if errors.Is(err, ErrNoRows) {
		return nil, nil //nolint:nilnil // an empty log has no head
	}
	if err != nil {
		return nil, fmt.Errorf("%w: last head: %w", ErrTrail, err)
	}
	return h, nil
}

// append writes the lines of the batch's good requests and one head. The log
// stands as before until advance.
func (w *trailWriter) append(c *conn, batch []*request) (*tail, error) {
	next := &tail{edge: w.edge.Clone(), number: w.number}
	for _, r := range batch {
		if r.err != nil {
			continue
		}
		for i := range r.lines {
			if err := w.appendLine(c, next, &r.lines[i]); err != nil {
				return nil, err
			}
		}
	}
	if next.edge.Size() == w.edge.Size() {
		return next, nil
	}
	return next, w.appendHead(c, next)
}

func (w *trailWriter) appendLine(c *conn, next *tail, l *line) error {
	e := *l.entry
	l.seq = next.edge.Size()
	e.Seq, e.Rows = l.seq, l.rows
	w.leaf = e.AppendLeaf(w.leaf[:0])
	next.edge.Append(w.leaf)
	_, err := c.exec("INSERT INTO trail_entries (seq, domain, device, leaf) VALUES (?, ?, ?, ?)",
		e.Seq, e.Domain, e.Device, w.leaf)
	return err
}

func (w *trailWriter) appendHead(c *conn, next *tail) error {
	next.number++
	h := &trail.Head{Number: next.number, Size: next.edge.Size(), Root: next.edge.Root()}
	if err := h.Sign(w.origin, w.key); err != nil {
		return err
	}
	if _, err := c.exec("INSERT INTO trail_heads (number, size, root, signature) VALUES (?, ?, ?, ?)",
		h.Number, h.Size, h.Root, h.Signature); err != nil {
		return err
	}
	w.bin, _ = next.edge.AppendBinary(w.bin[:0]) // never fails
	_, err := c.exec("INSERT INTO trail_edge (id, number, edge) VALUES (1, ?, ?) "+
		"ON CONFLICT (id) DO UPDATE SET number = excluded.number, edge = excluded.edge", next.number, w.bin)
	return err
}

func (w *trailWriter) advance(next *tail) { w.edge, w.number = next.edge, next.number }

// TrailEntries returns up to limit entries of the domain in the order of their
// sequence numbers, which are at least from; device "" does not filter.
func (db *DB) TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error) {
	query := "SELECT leaf FROM trail_entries WHERE seq >= ? AND domain = ? ORDER BY seq LIMIT ?"
	args := []any{from, domain, limit}
	if device != "" {
		query = "SELECT leaf FROM trail_entries WHERE device = ? AND device <> '' AND seq >= ? AND domain = ? ORDER BY seq LIMIT ?"
		args = []any{device, from, domain, limit}
	}
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var entries []*trail.Entry
	for rows.Next() {
		var leaf []byte
		if err := rows.Scan(&leaf); err != nil {
			return nil, err
		}
		e, err := trail.DecodeEntry(leaf)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}
