package trail

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProof is how many hashes a proof may have: more than a log of 2^62 entries needs.
const MaxProof = 128

// ErrProof says that a proof does not show what it is meant to.
var ErrProof = errors.New("trail: the proof does not hold")

// Inclusion shows that an entry is in the log that a head is about
// (RFC 9162, Section 2.1.3).
type Inclusion struct {
	Seq    int64      // position of the entry
	Size   int64      // of the log
	Hashes [][32]byte // from the leaf's sibling upwards
}

// Consistency shows that the log of one head is the beginning of that of
// another: nothing was removed, changed or put in between (RFC 9162, Section 2.1.4).
type Consistency struct {
	Old, New int64      // sizes; Old is at most New
	Hashes   [][32]byte // in the order of RFC 9162, Section 2.1.4.1
}

// Verify checks that the leaf is entry Seq of the log with that root, as RFC
// 9162, Section 2.1.3.2 says. It returns nil or an error that wraps [ErrProof].
func (p *Inclusion) Verify(leaf []byte, root [32]byte) error {
	if p.Size < 1 || p.Seq < 0 || p.Seq >= p.Size || len(p.Hashes) > MaxProof {
		return fmt.Errorf("%w: entry %d of %d, with %d hashes", ErrProof, p.Seq, p.Size, len(p.Hashes))
	}
	if err := tlog.CheckRecord(hashes(p.Hashes), p.Size, root, p.Seq, tlog.RecordHash(leaf)); err != nil {
		return fmt.Errorf("%w: it is not entry %d of the log of %d entries with the root %x", ErrProof, p.Seq, p.Size, root)
	}
	return nil
}

// Verify checks that the log of size Old with root before is the beginning of
// that of size New with root after, as RFC 9162, Section 2.1.4.2 says. It returns
// nil or an error that wraps [ErrProof]. Every log begins with the empty one.
func (p *Consistency) Verify(before, after [32]byte) error {
	if p.Old < 0 || p.Old > p.New || len(p.Hashes) > MaxProof {
		return fmt.Errorf("%w: from %d to %d entries, with %d hashes", ErrProof, p.Old, p.New, len(p.Hashes))
	}
	var err error
	switch {
	case p.Old == 0:
		if before != new(Edge).Root() || len(p.Hashes) > 0 {
			err = errors.New("the root is not that of the empty log")
		}
	case p.Old == p.New:
		if before != after || len(p.Hashes) > 0 {
			err = errors.New("two roots of one size")
		}
	default:
		err = tlog.CheckTree(hashes(p.Hashes), p.New, after, p.Old, before)
	}
	if err != nil {
		return fmt.Errorf("%w: the log of %d entries does not begin with that of %d entries: something in it was removed or changed", ErrProof, p.New, p.Old)
	}
	return nil
}

func hashes(in [][32]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(in))
	for i := range in {
		out[i] = in[i]
	}
	return out
}

// Prover makes proofs about the log of a given size in one pass over its
// entries. It keeps what the proofs need, however long the log is: ask for the
// proofs first, then give it every leaf, from the first one.
type Prover struct {
	size int64
	edge Edge
	want map[int64]*tlog.Hash // by tlog.StoredHashIndex; nil until known
}

// NewProver returns one for the log of that many entries.
func NewProver(size int64) *Prover {
	return &Prover{size: size, want: make(map[int64]*tlog.Hash)}
}

// errLater makes the first call of a proof tell what it needs.
var errLater = errors.New("later")

func (p *Prover) note(indexes []int64) ([]tlog.Hash, error) {
	for _, i := range indexes {
		if _, ok := p.want[i]; !ok {
			p.want[i] = nil
		}
	}
	return nil, errLater
}

// Include asks for the proof that entry seq is in the log.
func (p *Prover) Include(seq int64) error {
	if _, err := tlog.ProveRecord(p.size, seq, tlog.HashReaderFunc(p.note)); err != nil && !errors.Is(err, errLater) {
		return fmt.Errorf("trail: there is no entry %d in a log of %d", seq, p.size)
	}
	return nil
}

// Extend asks for the proof that the log begins with its first old entries.
func (p *Prover) Extend(old int64) error {
	if old < 0 || old > p.size {
		return fmt.Errorf("trail: a log of %d entries was never %d long", p.size, old)
	}
	if old == 0 || old == p.size {
		return nil
	}
	if _, err := tlog.ProveTree(p.size, old, tlog.HashReaderFunc(p.note)); err != nil && !errors.Is(err, errLater) {
		return err
	}
	return nil
}

// Append takes the next leaf. Those after the log's size are passed over.
func (p *Prover) Append(leaf []byte) {
	if p.edge.size == p.size {
		return
	}
	p.edge.append(leaf, func(level int, n int64, h tlog.Hash) {
		index := tlog.StoredHashIndex(level, n)
		if _, ok := p.want[index]; ok {
			p.want[index] = &h
		}
	})
}

// Root is that of the leaves given so far.
func (p *Prover) Root() [32]byte { return p.edge.Root() }

// Size is how many leaves were given.
func (p *Prover) Size() int64 { return p.edge.size }

func (p *Prover) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h := p.want[index]
		if h == nil {
			return nil, fmt.Errorf("trail: the proof was not asked for, or leaves are missing: %d of %d were given", p.edge.size, p.size)
		}
		out[i] = *h
	}
	return out, nil
}

// Inclusion returns the proof that Include asked for, once every leaf was given.
func (p *Prover) Inclusion(seq int64) (*Inclusion, error) {
	proof, err := tlog.ProveRecord(p.size, seq, tlog.HashReaderFunc(p.read))
	if err != nil {
		return nil, err
	}
	return &Inclusion{Seq: seq, Size: p.size, Hashes: raw(proof)}, nil
}

// Consistency returns the proof that Extend asked for, once every leaf was given.
func (p *Prover) Consistency(old int64) (*Consistency, error) {
	out := &Consistency{Old: old, New: p.size}
	if old == 0 || old == p.size {
		return out, nil
	}
	proof, err := tlog.ProveTree(p.size, old, tlog.HashReaderFunc(p.read))
	if err != nil {
		return nil, err
	}
	out.Hashes = raw(proof)
	return out, nil
}

func raw(in []tlog.Hash) [][32]byte {
	out := make([][32]byte, 0, len(in))
	for _, h := range in {
		out = append(out, h)
	}
	return slices.Clip(out)
}
