package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
)

// trailLine is an entry as exports have it: one line of JSON.
type trailLine struct {
	Seq    int64           `json:"seq"`
	At     string          `json:"at"` // RFC 3339, with microseconds
	Domain string          `json:"domain"`
	Kind   string          `json:"kind"`
	Device string          `json:"device,omitempty"` // ID of its record
	Actor  string          `json:"actor"`
	Reason string          `json:"reason,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Rows   int             `json:"rows"` // records that it covers
	// LeafHash is SHA-256(0x00, entry), in hex (RFC 9162, Section 2.1.1): with those of
	// all lines anybody computes the root of a signed head.
	LeafHash string `json:"leaf_hash"`
}

func lineOf(leaf []byte) (*trailLine, error) {
	e, err := trail.DecodeEntry(leaf)
	if err != nil {
		return nil, err
	}
	h := tlog.RecordHash(leaf)
	return &trailLine{
		Seq: e.Seq, At: e.At.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), Domain: e.Domain, Kind: e.Kind, Device: e.Device,
		Actor: e.Actor, Reason: e.Reason, Body: e.Body, Rows: len(e.Rows), LeafHash: hex.EncodeToString(h[:]),
	}, nil
}

func (l *trailLine) same(other *trailLine) bool {
	a, err1 := json.Marshal(l)
	b, err2 := json.Marshal(other)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

type trailExportCmd struct {
	trailOf
	From     int64         `default:"0" help:"First sequence number, where there is no cursor."`
	Cursor   string        `type:"path" placeholder:"FILE" help:"Begin where this file says, and keep in it where the export ended: a signed head, as trail witness writes it. Made when it is not there."`
	Out      string        `type:"path" placeholder:"FILE" help:"Append to this file; the standard output otherwise."`
	Follow   bool          `help:"Go on with what comes, until told to end."`
	Interval time.Duration `default:"1s" help:"How often to look for more, with --follow."`
	Kind     []string      `placeholder:"KIND" help:"Only entries of these kinds, such as certificate-issued."`
	OfDomain string        `name:"domain" placeholder:"NAME" help:"Only entries of this domain."`
}

// Run writes entries. The cursor moves after they were written, so that each is
// there at least once; a line is known by its seq.
func (c *trailExportCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	e := &exporting{trailExportCmd: c, o: o, to: s.Out, from: c.From}
	if c.Out != "" {
		f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		e.to, e.sync = f, f.Sync
	}
	if err := e.resume(); err != nil {
		return err
	}
	for {
		if err := e.part(ctx); err != nil {
			if errors.Is(err, context.Canceled) && c.Follow {
				return nil // told to end
			}
			return err
		}
		if !c.Follow {
			return nil
		}
		select {
		case <-time.After(c.Interval):
		case <-ctx.Done():
			return nil
		}
	}
}

// exporting is an export under way.
type exporting struct {
	*trailExportCmd
	o      *openedTrail
	to     io.Writer
	sync   func() error // nil for none
	from   int64
	before *trail.Head // of the cursor; nil for none
	edge   trail.Edge  // of what was read
}

// resume reads the cursor.
func (e *exporting) resume() error {
	if e.Cursor == "" {
		return nil
	}
	if _, err := os.Stat(e.Cursor); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	h, err := e.o.witness(e.Cursor)
	if err != nil {
		return err
	}
	e.before, e.from = h, h.Size
	return nil
}

// part writes what is there now, and moves the cursor. A trail that does not
// begin with what was exported before is an error, and nothing is written then.
func (e *exporting) part(ctx context.Context) error {
	snap, err := sqlitedb.OpenSnapshot(e.o.path)
	if err != nil {
		return err
	}
	defer func() { _ = snap.Close() }()
	h, err := snap.LastHead()
	if err != nil || h == nil && e.before == nil || h != nil && e.before != nil && *headKey(h) == *headKey(e.before) {
		return err
	}
	if h == nil || e.before != nil && (h.Size < e.before.Size || h.Number < e.before.Number) {
		return e.replaced("it has fewer entries than were exported: its end was cut, or an older copy put in its place")
	}
	if err := h.Verify(e.o.origin, e.o.key); err != nil {
		return err
	}
	out := bufio.NewWriter(e.to)
	if err := snap.Leaves(ctx, e.edge.Size(), func(seq int64, leaf []byte) error { return e.take(out, seq, leaf) }); err != nil {
		return err
	}
	if e.edge.Root() != h.Root {
		return e.replaced("its entries are not what its head was signed over")
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if e.sync != nil {
		if err := e.sync(); err != nil {
			return err
		}
	}
	e.before, e.from = h, h.Size
	return e.keep(h)
}

// take hashes every entry, from the first one, and writes those that are new.
func (e *exporting) take(out *bufio.Writer, seq int64, leaf []byte) error {
	e.edge.Append(leaf)
	if seq >= e.from {
		return e.line(out, leaf)
	}
	if e.before != nil && e.edge.Size() == e.before.Size && e.edge.Root() != e.before.Root {
		return e.replaced("it does not begin with what was exported")
	}
	return nil
}

func (e *exporting) replaced(how string) error {
	return cli.Hint(fmt.Errorf("%w: %s", sqlitedb.ErrTrail, how),
		"what was exported before is evidence: keep it, and look into the trail with briskest trail verify")
}

// keep moves the cursor.
func (e *exporting) keep(h *trail.Head) error {
	if e.Cursor == "" {
		return nil
	}
	note, err := h.Note(e.o.origin, e.o.key)
	if err != nil {
		return err
	}
	return pemfile.Write(e.Cursor, note, 0o600)
}

// headID is what tells heads apart.
type headID struct {
	number, size int64
	root         [32]byte
}

func headKey(h *trail.Head) *headID { return &headID{h.Number, h.Size, h.Root} }

func (e *exporting) line(out *bufio.Writer, leaf []byte) error {
	l, err := lineOf(leaf)
	if err != nil {
		return err
	}
	if len(e.Kind) > 0 && !slices.Contains(e.Kind, l.Kind) || e.OfDomain != "" && l.Domain != e.OfDomain {
		return nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("entry %d: %w", l.Seq, err)
	}
	_, err = out.Write(append(b, '\n'))
	return err
}
