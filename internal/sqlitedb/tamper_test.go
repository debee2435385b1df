package sqlitedb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
)

// history makes a database with that many entries, a head for each second or
// third of them, and returns a copy of it as it was after each head.
func history(t *testing.T, changes int) (copies []string) {
	t.Helper()
	path := file(t)
	db := open(t, path)
	for n := range changes {
		err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error {
			for i := range n%2 + 1 {
				tx.Record(&trail.Entry{Domain: "d", Kind: "test", Device: fmt.Sprint(n), Body: fmt.Appendf(nil, `{"n":%d}`, i)})
			}
			return put(tx, fmt.Sprint(n), fmt.Sprint("name", n), n)
		})
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "copy.db")
		if _, err := sqlitedb.Copy(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, to)
	}
	return copies
}

func verifyFile(t *testing.T, path string, witnesses ...*trail.Head) (*sqlitedb.Report, error) {
	t.Helper()
	return sqlitedb.VerifyFile(t.Context(), &sqlitedb.VerifyOptions{
		Path: path, Origin: "briskest/test", Key: key(1).Public(), Tables: []*sqlitedb.Table{things()}, Witnesses: witnesses,
	})
}

// tampered is a copy of the database that somebody who can write every row, and
// has not the trail's key, worked on.
type tampered struct {
	t  *testing.T
	db *sql.DB
}

func tamper(t *testing.T, path string, do func(*tampered)) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	do(&tampered{t, db})
	return to
}

func (x *tampered) exec(statement string, args ...any) {
	x.t.Helper()
	if _, err := x.db.ExecContext(x.t.Context(), statement, args...); err != nil {
		x.t.Fatalf("%s: %v", statement, err)
	}
}

func (x *tampered) leaves() (out [][]byte) {
	x.t.Helper()
	rows, err := x.db.QueryContext(x.t.Context(), "SELECT leaf FROM trail_entries ORDER BY seq")
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var leaf []byte
		if err := rows.Scan(&leaf); err != nil {
			x.t.Fatal(err)
		}
		out = append(out, leaf)
	}
	if err := rows.Err(); err != nil {
		x.t.Fatal(err)
	}
	return out
}

// rewrite puts these entries in place of all, renumbered, with heads and edge
// computed anew: everything fits but the signatures.
func (x *tampered) rewrite(leaves [][]byte) {
	x.t.Helper()
	x.exec("DELETE FROM trail_entries")
	var edge trail.Edge
	roots := map[int64][32]byte{}
	for n, leaf := range leaves {
		e, err := trail.DecodeEntry(leaf)
		if err != nil {
			x.t.Fatal(err)
		}
		e.Seq = int64(n)
		leaf = e.AppendLeaf(nil)
		edge.Append(leaf)
		roots[edge.Size()] = edge.Root()
		x.exec("INSERT INTO trail_entries (seq, domain, device, leaf) VALUES (?, ?, ?, ?)", n, e.Domain, e.Device, leaf)
	}
	x.exec("DELETE FROM trail_heads WHERE size > ?", len(leaves))
	for size, root := range roots {
		x.exec("UPDATE trail_heads SET root = ? WHERE size = ?", root[:], size)
	}
	raw, _ := edge.AppendBinary(nil)
	x.exec("UPDATE trail_edge SET edge = ?, number = (SELECT max(number) FROM trail_heads)", raw)
}

func wantDamaged(t *testing.T, path, what string) {
	t.Helper()
	if r, err := verifyFile(t, path); !errors.Is(err, sqlitedb.ErrTrail) {
		t.Errorf("verification with %s = %+v, error %v, want ErrTrail", what, r, err)
	}
}

// Issue 6, point 7, for every place: in the middle and at the end, and however
// well the rest was made to fit.
func TestAnEntryCutChangedOrReorderedAnywhereIsFound(t *testing.T) {
	copies := history(t, 6)
	whole := copies[len(copies)-1]
	if r, err := verifyFile(t, whole); err != nil || r.Entries != 9 {
		t.Fatalf("verification of the whole = %+v, %v", r, err)
	}
	for seq := range 9 {
		wantDamaged(t, tamper(t, whole, func(x *tampered) { x.exec("DELETE FROM trail_entries WHERE seq = ?", seq) }), fmt.Sprintf("entry %d cut", seq))
		wantDamaged(t, tamper(t, whole, func(x *tampered) {
			all := x.leaves()
			x.rewrite(append(all[:seq:seq], all[seq+1:]...))
		}), fmt.Sprintf("entry %d cut and the rest made to fit", seq))
		changed := func(x *tampered) [][]byte {
			all := x.leaves()
			e, err := trail.DecodeEntry(all[seq])
			if err != nil {
				t.Fatal(err)
			}
			e.Actor = "nobody"
			all[seq] = e.AppendLeaf(nil)
			return all
		}
		wantDamaged(t, tamper(t, whole, func(x *tampered) {
			x.exec("UPDATE trail_entries SET leaf = ? WHERE seq = ?", changed(x)[seq], seq)
		}), fmt.Sprintf("entry %d changed", seq))
		wantDamaged(t, tamper(t, whole, func(x *tampered) { x.rewrite(changed(x)) }), fmt.Sprintf("entry %d changed and the rest made to fit", seq))
		for other := range seq {
			wantDamaged(t, tamper(t, whole, func(x *tampered) {
				all := x.leaves()
				all[seq], all[other] = all[other], all[seq]
				x.rewrite(all)
			}), fmt.Sprintf("entries %d and %d in each other's place", seq, other))
		}
	}
}

// The end is cut at a head, with edge and rows as they were then: an older copy
// of the file. It verifies by itself; whoever kept a later head knows better.
func TestAWitnessKnowsThatTheEndWasCut(t *testing.T) {
	copies := history(t, 6)
	var heads []*trail.Head
	for _, path := range copies {
		heads = append(heads, lastHead(t, path))
	}
	for n, path := range copies {
		for w, witness := range heads {
			_, err := verifyFile(t, path, heads[0], witness)
			if (err == nil) != (w <= n) || err != nil && !errors.Is(err, sqlitedb.ErrTrail) {
				t.Errorf("the copy at head %d, with the witness of head %d: error %v", n+1, w+1, err)
			}
		}
		other := *heads[n]
		other.Root[3] ^= 1
		if _, err := verifyFile(t, path, &other); !errors.Is(err, sqlitedb.ErrTrail) {
			t.Errorf("the copy at head %d, with a witness of another log: error %v", n+1, err)
		}
		if _, err := verifyFile(t, path, heads[n], &other); !errors.Is(err, sqlitedb.ErrTrail) {
			t.Errorf("the copy at head %d, with two witnesses that differ: error %v", n+1, err)
		}
	}
}

func lastHead(t *testing.T, path string) *trail.Head {
	t.Helper()
	s, err := sqlitedb.OpenSnapshot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h, err := s.LastHead()
	if err != nil || h == nil {
		t.Fatalf("LastHead = %v, %v", h, err)
	}
	return h
}

func TestProofsAreMadeFromTheFileAndOnlyOfWhatWasSigned(t *testing.T) {
	copies := history(t, 5)
	whole := copies[len(copies)-1]
	h := lastHead(t, whole)
	prove := func(path string) (*trail.Prover, error) {
		p := trail.NewProver(h.Size)
		if err := errors.Join(p.Include(3), p.Extend(2)); err != nil {
			t.Fatal(err)
		}
		s, err := sqlitedb.OpenSnapshot(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		return p, s.Prove(t.Context(), p, h)
	}
	p, err := prove(whole)
	if err != nil {
		t.Fatal(err)
	}
	in, err := p.Inclusion(3)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, whole, func(x *tampered) {
		if err := in.Verify(x.leaves()[3], h.Root); err != nil {
			t.Error(err)
		}
	})
	bad := tamper(t, whole, func(x *tampered) { x.exec("DELETE FROM trail_entries WHERE seq = 1") })
	if _, err := prove(bad); !errors.Is(err, sqlitedb.ErrTrail) {
		t.Errorf("Prove with an entry cut: %v", err)
	}
}
