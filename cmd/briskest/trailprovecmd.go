package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/internal/trail"
)

// maxProofFile bounds a proof or a witness, in bytes. An entry takes most of it.
const maxProofFile = 8 << 20

// trailProof is what trail prove and trail consistency write.
type trailProof struct {
	Origin string     `json:"origin"`
	Head   string     `json:"head"`             // a signed note, as trail witness writes it
	Before string     `json:"before,omitempty"` // of a consistency proof: the note of the witness
	Seq    int64      `json:"entry"`            // of an inclusion proof
	Leaf   []byte     `json:"leaf,omitempty"`   // what was hashed: the entry's encoding
	Hashes [][]byte   `json:"hashes"`
	Entry  *trailLine `json:"says,omitempty"` // what the leaf says; for people, and checked to be so
}

func digests(in [][32]byte) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}

func (p *trailProof) hashes() ([][32]byte, error) {
	out := make([][32]byte, len(p.Hashes))
	for i, h := range p.Hashes {
		if len(h) != len(out[i]) {
			return nil, fmt.Errorf("%w: a hash of %d bytes", trail.ErrProof, len(h))
		}
		out[i] = [32]byte(h)
	}
	return out, nil
}

// snapshot opens one state of the database with its last head, verified.
func (o *openedTrail) snapshot() (*sqlitedb.Snapshot, *trail.Head, error) {
	snap, err := sqlitedb.OpenSnapshot(o.path)
	if err != nil {
		return nil, nil, err
	}
	h, err := snap.LastHead()
	if err == nil && h == nil {
		err = cli.NotFound("the trail is empty")
	}
	if err == nil {
		err = h.Verify(o.origin, o.key)
	}
	if err != nil {
		return nil, nil, errors.Join(err, snap.Close())
	}
	return snap, h, nil
}

type trailProveCmd struct {
	trailOf
	Entry int64  `arg:"" help:"Sequence number of the entry, as exports and device evidence have it."`
	Out   string `type:"path" placeholder:"FILE" help:"Where to; the standard output otherwise."`
}

// Run proves that an entry is in the trail (RFC 9162, Section 2.1.3).
func (c *trailProveCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	snap, h, err := o.snapshot()
	if err != nil {
		return err
	}
	defer func() { _ = snap.Close() }()
	if c.Entry < 0 || c.Entry >= h.Size {
		return cli.NotFound("there is no entry %d; the last is %d", c.Entry, h.Size-1)
	}
	prover := trail.NewProver(h.Size)
	if err := prover.Include(c.Entry); err != nil {
		return err
	}
	if err := snap.Prove(ctx, prover, h); err != nil {
		return err
	}
	in, err := prover.Inclusion(c.Entry)
	if err != nil {
		return err
	}
	out := &trailProof{Origin: o.origin, Seq: c.Entry, Hashes: digests(in.Hashes)}
	if err := snap.QueryRow("SELECT leaf FROM trail_entries WHERE seq = ?", c.Entry).Scan(&out.Leaf); err != nil {
		return err
	}
	if out.Entry, err = lineOf(out.Leaf); err != nil {
		return err
	}
	return o.write(s, out, h, c.Out)
}

// write signs nothing: the head is the one that the server signed.
func (o *openedTrail) write(s streams, p *trailProof, h *trail.Head, file string) error {
	note, err := h.Note(o.origin, o.key)
	if err != nil {
		return err
	}
	p.Head = string(note)
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if file == "" {
		_, err = s.Out.Write(data)
		return err
	}
	return pemfile.Write(file, data, 0o644)
}

type trailConsistencyCmd struct {
	trailOf
	Witness string `arg:"" type:"existingfile" help:"The head that trail witness wrote."`
	Out     string `type:"path" placeholder:"FILE" help:"Where to; the standard output otherwise."`
}

// Run proves that the trail begins with what the witness saw (RFC 9162, Section 2.1.4).
func (c *trailConsistencyCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	before, err := o.witness(c.Witness)
	if err != nil {
		return err
	}
	snap, h, err := o.snapshot()
	if err != nil {
		return err
	}
	defer func() { _ = snap.Close() }()
	proof, err := o.extends(ctx, snap, before, h)
	if err != nil {
		return err
	}
	note, err := before.Note(o.origin, o.key)
	if err != nil {
		return err
	}
	return o.write(s, &trailProof{Origin: o.origin, Before: string(note), Hashes: digests(proof.Hashes)}, h, c.Out)
}

// extends proves that the log of h begins with that of before, and says what is
// wrong when it does not.
func (o *openedTrail) extends(ctx context.Context, snap *sqlitedb.Snapshot, before, h *trail.Head) (*trail.Consistency, error) {
	if before.Size > h.Size || before.Number > h.Number {
		return nil, fmt.Errorf("%w: the witness saw head %d over %d entries, and the trail has only %d heads and %d entries: its end was cut, or an older copy put in its place",
			sqlitedb.ErrTrail, before.Number, before.Size, h.Number, h.Size)
	}
	prover := trail.NewProver(h.Size)
	if err := prover.Extend(before.Size); err != nil {
		return nil, err
	}
	if err := snap.Prove(ctx, prover, h); err != nil {
		return nil, err
	}
	proof, err := prover.Consistency(before.Size)
	if err != nil {
		return nil, err
	}
	if err := proof.Verify(before.Root, h.Root); err != nil {
		return nil, fmt.Errorf("%w: %w", sqlitedb.ErrTrail, err)
	}
	return proof, nil
}

type trailWitnessCmd struct {
	trailOf
	Out string `type:"path" placeholder:"FILE" help:"Where to, best on another machine's disk; the standard output otherwise. A head that is there already has to be part of the trail, and is replaced."`
}

// Run writes the signed head of the trail.
func (c *trailWitnessCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	snap, h, err := o.snapshot()
	if err != nil {
		return err
	}
	defer func() { _ = snap.Close() }()
	note, err := h.Note(o.origin, o.key)
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = s.Out.Write(note)
		return err
	}
	if _, err := os.Stat(c.Out); !errors.Is(err, fs.ErrNotExist) {
		before, err := o.witness(c.Out)
		if err != nil {
			return err
		}
		if _, err := o.extends(ctx, snap, before, h); err != nil {
			return cli.Hint(err, "%s is kept as it is: it shows what the trail was", filepath.Base(c.Out))
		}
	}
	return pemfile.Write(c.Out, note, 0o644)
}

type trailCheckCmd struct {
	Key   string `required:"" type:"existingfile" help:"The trail's public key, as trail key prints it; have it from where you trust."`
	Proof string `arg:"" type:"existingfile" help:"What trail prove or trail consistency wrote."`
}

// Run checks a proof. It needs no server and no database.
func (c *trailCheckCmd) Run(_ context.Context, s streams) error {
	key, err := readTrailKey(c.Key)
	if err != nil {
		return err
	}
	data, err := readSmall(c.Proof, maxProofFile)
	if err != nil {
		return err
	}
	p, err := readProof(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Proof, err)
	}
	h, err := trail.OpenNote([]byte(p.Head), p.Origin, key)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Proof, err)
	}
	hashes, err := p.hashes()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Proof, err)
	}
	if p.Before != "" {
		before, err := trail.OpenNote([]byte(p.Before), p.Origin, key)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Proof, err)
		}
		if err := (&trail.Consistency{Old: before.Size, New: h.Size, Hashes: hashes}).Verify(before.Root, h.Root); err != nil {
			return fmt.Errorf("%s: %w", c.Proof, err)
		}
		s.Printf("%s: the trail of %d entries (head %d) begins with the %d entries of head %d\n", p.Origin, h.Size, h.Number, before.Size, before.Number)
		return nil
	}
	if err := (&trail.Inclusion{Seq: p.Seq, Size: h.Size, Hashes: hashes}).Verify(p.Leaf, h.Root); err != nil {
		return fmt.Errorf("%s: %w", c.Proof, err)
	}
	line, err := lineOf(p.Leaf)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Proof, err)
	}
	if p.Entry != nil && !p.Entry.same(line) {
		return fmt.Errorf("%s: what it says of the entry is not what the entry says", c.Proof)
	}
	s.Printf("%s: entry %d of %d (head %d), of %s: %s\n", p.Origin, p.Seq, h.Size, h.Number, line.At, line.Kind)
	return nil
}

// readProof reads a proof strictly: nothing is in it twice, and nothing else.
func readProof(data []byte) (*trailProof, error) {
	if err := strictjson.Value(data, strictjson.Limits{Bytes: maxProofFile, Depth: 64, Members: 10000}, 1); err != nil {
		return nil, err
	}
	p := &trailProof{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return p, d.Decode(p)
}
