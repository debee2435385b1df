package trail

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Edge is the right edge of the tree: the roots of the complete subtrees that
// the log divides into, from the oldest and largest to the newest. Its zero
// value is the empty log. It has at most 63 hashes, however long the log is.
type Edge struct {
	size   int64
	hashes []tlog.Hash // one for each bit set in size, the highest first
}

// Size returns the number of entries.
func (e *Edge) Size() int64 { return e.size }

// Append adds one entry, given as its encoding. The leaf hash is
// SHA-256(0x00, leaf) as in RFC 6962, Section 2.1.
func (e *Edge) Append(leaf []byte) { e.append(leaf, nil) }

// append also tells each hash of a subtree that the leaf completes: level 0 is
// the leaf itself, and n counts those of the level.
func (e *Edge) append(leaf []byte, tell func(level int, n int64, h tlog.Hash)) {
	h := tlog.RecordHash(leaf)
	n := e.size
	for level := 0; ; level++ {
		if tell != nil {
			tell(level, n, h)
		}
		if n&1 == 0 {
			break
		}
		last := len(e.hashes) - 1
		h = tlog.NodeHash(e.hashes[last], h)
		e.hashes = e.hashes[:last]
		n >>= 1
	}
	e.hashes = append(e.hashes, h)
	e.size++
}

// Root returns the Merkle tree hash of RFC 6962, Section 2.1. That of the empty
// log is SHA-256 of nothing.
func (e *Edge) Root() [32]byte {
	last := len(e.hashes) - 1
	if last < 0 {
		h, _ := tlog.TreeHash(0, nil) // reads nothing for an empty tree
		return h
	}
	h := e.hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.hashes[i], h)
	}
	return h
}

// Clone returns a copy that grows apart from e.
func (e *Edge) Clone() *Edge {
	return &Edge{size: e.size, hashes: append([]tlog.Hash(nil), e.hashes...)}
}

// AppendBinary appends the size in 8 bytes, big-endian, and the hashes. It
// never fails.
func (e *Edge) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(e.size)) //nolint:gosec // never negative
	for i := range e.hashes {
		b = append(b, e.hashes[i][:]...)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (e *Edge) UnmarshalBinary(b []byte) error {
	if len(b) < 8 {
		return errors.New("trail: edge cut short")
	}
	size := binary.BigEndian.Uint64(b)
	b = b[8:]
	if size > 1<<62 || len(b) != bits.OnesCount64(size)*tlog.HashSize {
		return errors.New("trail: edge does not have one hash for each subtree")
	}
	e.size = int64(size)
	e.hashes = make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range e.hashes {
		b = b[copy(e.hashes[i][:], b):]
	}
	return nil
}
