package trail_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/briskest/briskest/internal/trail"
)

const proved = 37

func leaves(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, "entry %d", i)
	}
	return out
}

func rootOf(all [][]byte) [32]byte {
	var e trail.Edge
	for _, leaf := range all {
		e.Append(leaf)
	}
	return e.Root()
}

// proofs are all that can be made about a log of that size.
func proofs(t *testing.T, size int) ([]*trail.Inclusion, []*trail.Consistency) {
	t.Helper()
	p := trail.NewProver(int64(size))
	for i := range size {
		if err := errors.Join(p.Include(int64(i)), p.Extend(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, leaf := range leaves(size + 3) { // those after it are none of its business
		p.Append(leaf)
	}
	var in []*trail.Inclusion
	var out []*trail.Consistency
	for i := range size {
		a, err := p.Inclusion(int64(i))
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Consistency(int64(i))
		if err != nil {
			t.Fatal(err)
		}
		in, out = append(in, a), append(out, b)
	}
	return in, out
}

// RFC 9162, Section 2.1.3.
func TestAnEntryIsProvedForItsPlaceAndNoOther(t *testing.T) {
	all := leaves(proved)
	for size := 1; size <= proved; size++ {
		root := rootOf(all[:size])
		in, _ := proofs(t, size)
		for seq, p := range in {
			if err := p.Verify(all[seq], root); err != nil {
				t.Fatalf("entry %d of %d: %v", seq, size, err)
			}
			for other := range size {
				if other == seq {
					continue
				}
				moved := *p
				moved.Seq = int64(other)
				if moved.Verify(all[seq], root) == nil || p.Verify(all[other], root) == nil {
					t.Fatalf("entry %d of %d is proved at place %d too", seq, size, other)
				}
			}
			for i := range p.Hashes {
				bad := *p
				bad.Hashes = append([][32]byte(nil), p.Hashes...)
				bad.Hashes[i][7] ^= 1
				cut := *p
				cut.Hashes = p.Hashes[:i]
				if !errors.Is(bad.Verify(all[seq], root), trail.ErrProof) || !errors.Is(cut.Verify(all[seq], root), trail.ErrProof) {
					t.Fatalf("entry %d of %d is proved with a hash changed or cut at %d", seq, size, i)
				}
			}
		}
	}
}

// RFC 9162, Section 2.1.4.
func TestALogIsProvedToBeginWithWhatItBeganWithAndNothingElse(t *testing.T) {
	all := leaves(proved)
	for size := 1; size <= proved; size++ {
		root := rootOf(all[:size])
		_, out := proofs(t, size)
		for old, p := range out {
			before := rootOf(all[:old])
			if err := p.Verify(before, root); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
			for gone := range old { // a log that lacks one, or has another one instead
				without := append(append([][]byte(nil), all[:gone]...), all[gone+1:size]...)
				without = append(without, []byte("another one at the end"))
				if !errors.Is(p.Verify(before, rootOf(without)), trail.ErrProof) {
					t.Fatalf("%d to %d: proved although entry %d is gone", old, size, gone)
				}
				changed := append([][]byte(nil), all[:old]...)
				changed[gone] = []byte("another")
				if !errors.Is(p.Verify(rootOf(changed), root), trail.ErrProof) {
					t.Fatalf("%d to %d: proved although entry %d was another", old, size, gone)
				}
			}
		}
		same := &trail.Consistency{Old: int64(size), New: int64(size)}
		if same.Verify(root, root) != nil || same.Verify(rootOf(all[:size-1]), root) == nil {
			t.Fatalf("%d to itself", size)
		}
	}
}

// tlog keeps every hash and is the reference for proofs made in one pass.
func TestProofsAreThoseOfTheWholeTree(t *testing.T) {
	var stored []tlog.Hash
	all := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = stored[n]
		}
		return out, nil
	})
	for n, leaf := range leaves(proved) {
		hashes, err := tlog.StoredHashes(int64(n), leaf, all)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	in, out := proofs(t, proved)
	for n := range in {
		want, err := tlog.ProveRecord(proved, int64(n), all)
		if err != nil || fmt.Sprint(in[n].Hashes) != fmt.Sprint(plain(want)) {
			t.Errorf("inclusion of %d: %v, error %v, want %v", n, in[n].Hashes, err, want)
		}
		if n == 0 {
			continue
		}
		tree, err := tlog.ProveTree(proved, int64(n), all)
		if err != nil || fmt.Sprint(out[n].Hashes) != fmt.Sprint(plain(tree)) {
			t.Errorf("consistency from %d: %v, error %v, want %v", n, out[n].Hashes, err, tree)
		}
	}
}

func plain(in []tlog.Hash) [][32]byte {
	var out [][32]byte
	for _, h := range in {
		out = append(out, h)
	}
	return out
}

func TestAProofThatWasNotAskedForIsNotMade(t *testing.T) {
	p := trail.NewProver(5)
	if p.Include(5) == nil || p.Include(-1) == nil || p.Extend(6) == nil || p.Extend(-1) == nil {
		t.Error("proofs about what is not in the log can be asked for")
	}
	for _, leaf := range leaves(4) {
		p.Append(leaf)
	}
	if got, err := p.Inclusion(2); err == nil {
		t.Errorf("Inclusion before all leaves were given = %v", got)
	}
	for _, bad := range []*trail.Inclusion{{Seq: 0, Size: 0}, {Seq: -1, Size: 2}, {Seq: 2, Size: 2}, {Size: 1, Hashes: make([][32]byte, trail.MaxProof+1)}} {
		if err := bad.Verify([]byte("x"), [32]byte{}); !errors.Is(err, trail.ErrProof) {
			t.Errorf("Verify of %d of %d: %v", bad.Seq, bad.Size, err)
		}
	}
	for _, bad := range []*trail.Consistency{{Old: 2, New: 1}, {Old: -1, New: 1}, {Old: 0, New: 1}, {Old: 1, New: 2, Hashes: make([][32]byte, trail.MaxProof+1)}} {
		if err := bad.Verify([32]byte{}, [32]byte{}); !errors.Is(err, trail.ErrProof) {
			t.Errorf("Verify from %d to %d: %v", bad.Old, bad.New, err)
		}
	}
}
