package sqlitedb_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
)

const schema = `-- +goose Up
CREATE TABLE things (
    domain TEXT NOT NULL,
    id     TEXT NOT NULL,
    name   TEXT NOT NULL,
    n      INTEGER NOT NULL,
    flag   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    data   BLOB,
    sum    BLOB,
    PRIMARY KEY (domain, id)
);
CREATE UNIQUE INDEX things_name ON things (domain, name);
`

func things() *sqlitedb.Table {
	return sqlitedb.NewTable("things", []string{"domain", "id"}, []string{"name", "n", "flag", "at", "data", "sum"})
}

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func options(path string) sqlitedb.Options {
	return sqlitedb.Options{
		Path: path, TrailKey: key(1), Origin: "briskest/test", Tables: []*sqlitedb.Table{things()},
		Migrations: fstest.MapFS{"00001_things.sql": {Data: []byte(schema)}},
	}
}

func open(t *testing.T, path string) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), options(path))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func file(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "test.db")
}

func put(tx *sqlitedb.Tx, id, name string, n int) error {
	return tx.Put(things(), "d", id, name, n, true, time.Unix(1, 5000), []byte{}, [32]byte{9})
}

func verify(t *testing.T, db *sqlitedb.DB) *sqlitedb.Report {
	t.Helper()
	r, err := db.VerifyTrail(t.Context())
	if err != nil {
		t.Fatalf("VerifyTrail: %v", err)
	}
	return r
}

func names(t *testing.T, db *sqlitedb.DB) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT name FROM things ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCommittedChangeIsThereAfterReopening(t *testing.T) {
	path := file(t)
	db := open(t, path)
	e := &trail.Entry{At: time.Unix(5, 0).UTC(), Domain: "d", Kind: "made", Device: "x", Body: []byte(`{}`)}
	err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error {
		tx.Record(e)
		return put(tx, "1", "a", 7)
	})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	before := verify(t, db)
	if err := db.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}

	db = open(t, path)
	if after := verify(t, db); *after != *before || after.Entries != 1 || after.Rows != 1 || after.Heads != 1 {
		t.Errorf("VerifyTrail = %+v, before closing %+v, want 1 entry, 1 row, 1 head", after, before)
	}
	var name string
	var n int
	var flag bool
	var at time.Time
	var data []byte
	var sum [32]byte
	err = db.QueryRow(t.Context(), "SELECT name, n, flag, at, data, sum FROM things WHERE domain = ? AND id = ?", "d", "1").
		Scan(&name, &n, &flag, &at, &data, &sum)
	if err != nil || name != "a" || n != 7 || !flag || !at.Equal(time.Unix(1, 5000)) || data != nil || sum != [32]byte{9} {
		t.Errorf("row = %q %d %t %v %v %x, %v", name, n, flag, at, data, sum, err)
	}
	entries, err := db.TrailEntries(t.Context(), "d", "x", 0, 10)
	if err != nil || len(entries) != 1 || len(entries[0].Rows) != 1 || entries[0].Kind != "made" {
		t.Fatalf("TrailEntries = %+v, %v", entries, err)
	}
	entries[0].Rows = nil
	if !reflect.DeepEqual(entries[0], e) {
		t.Errorf("TrailEntries = %+v, want %+v", entries[0], e)
	}
}

func TestRefusedChangeLeavesNothing(t *testing.T) {
	db := open(t, file(t))
	refused := errors.New("refused")
	for name, apply := range map[string]func(tx *sqlitedb.Tx) error{
		"an error at once":      func(*sqlitedb.Tx) error { return refused },
		"an error after a row":  func(tx *sqlitedb.Tx) error { return errors.Join(put(tx, "1", "a", 1), refused) },
		"a panic after a row":   func(tx *sqlitedb.Tx) error { _ = put(tx, "1", "a", 1); panic("oops") },
		"a statement not valid": func(tx *sqlitedb.Tx) error { _, err := tx.Exec("INSERT INTO nowhere VALUES (1)"); return err },
		"an entry too long": func(tx *sqlitedb.Tx) error {
			tx.Record(&trail.Entry{Domain: "d", Body: make([]byte, trail.MaxLeaf)})
			return put(tx, "1", "a", 1)
		},
	} {
		if err := db.Commit(t.Context(), apply); err == nil {
			t.Errorf("Commit with %s gave no error", name)
		}
	}
	if r := verify(t, db); r.Entries != 0 || r.Rows != 0 {
		t.Errorf("VerifyTrail = %+v, want nothing", r)
	}
	if err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error { return put(tx, "1", "a", 1) }); err != nil {
		t.Errorf("Commit afterwards: %v", err)
	}
}

// Half of the changes break a constraint after they wrote a row: they must not
// take their neighbours in the transaction with them.
func TestChangesOfOneBatchGetTheirOwnAnswers(t *testing.T) {
	db := open(t, file(t))
	const n = 64
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = db.Commit(context.WithoutCancel(t.Context()), func(tx *sqlitedb.Tx) error {
				tx.Record(&trail.Entry{Domain: "d", Kind: "try"})
				if err := put(tx, fmt.Sprint(i), fmt.Sprintf("own-%02d", i), i); err != nil {
					return err
				}
				if i%2 == 1 {
					return put(tx, fmt.Sprint("x", i), fmt.Sprintf("own-%02d", i), i)
				}
				return nil
			})
		})
	}
	wg.Wait()
	var want []string
	for i, err := range errs {
		if i%2 == 0 {
			want = append(want, fmt.Sprintf("own-%02d", i))
			if err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		} else if !errors.Is(err, sqlitedb.ErrConstraint) {
			t.Errorf("change %d: error %v, want ErrConstraint", i, err)
		}
	}
	if got := names(t, db); !slices.Equal(got, want) {
		t.Errorf("rows = %v, want %v", got, want)
	}
	if r := verify(t, db); r.Entries != n/2 {
		t.Errorf("VerifyTrail = %+v, want %d entries", r, n/2)
	}
}

// More rows than one entry takes, and more pages than the cache holds.
func TestLargeChangeIsWholeAndCovered(t *testing.T) {
	path := file(t)
	db := open(t, path)
	const n = 5000
	err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error {
		for i := range n {
			err := tx.Put(things(), "d", fmt.Sprintf("%06d", i), fmt.Sprint(i), i, false, time.Time{},
				bytes.Repeat([]byte{byte(i)}, 2000), nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if r := verify(t, db); r.Rows != n {
		t.Errorf("VerifyTrail = %+v, want %d rows", r, n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var ok string
	if err := open(t, path).QueryRow(t.Context(), "PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
		t.Errorf("integrity_check = %q, %v", ok, err)
	}
}

func TestRemovedRowIsRemovedOnTheTrailToo(t *testing.T) {
	db := open(t, file(t))
	for _, apply := range []func(tx *sqlitedb.Tx) error{
		func(tx *sqlitedb.Tx) error { return errors.Join(put(tx, "1", "a", 1), put(tx, "2", "b", 1)) },
		func(tx *sqlitedb.Tx) error {
			_, err := tx.Exec("DELETE FROM things WHERE domain = ? AND id = ?", "d", "1")
			return errors.Join(err, tx.Uncover(things(), "d", "1"))
		},
	} {
		if err := db.Commit(t.Context(), apply); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, db); r.Rows != 1 || r.Entries != 2 {
		t.Errorf("VerifyTrail = %+v, want 1 row, 2 entries", r)
	}
}

func TestSecondProcessIsToldThatTheDatabaseIsOpen(t *testing.T) {
	path := file(t)
	open(t, path)
	_, err := sqlitedb.Open(t.Context(), options(path))
	if !errors.Is(err, sqlitedb.ErrLocked) || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("Open of an open database: error %v, want ErrLocked with a hint", err)
	}
}

func TestTrailOfAnotherKeyIsNotContinued(t *testing.T) {
	path := file(t)
	db := open(t, path)
	if err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error { return put(tx, "1", "a", 1) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	opts := options(path)
	opts.TrailKey = key(2)
	if _, err := sqlitedb.Open(t.Context(), opts); !errors.Is(err, sqlitedb.ErrTrail) {
		t.Errorf("Open with another key: error %v, want ErrTrail", err)
	}
}

func TestClosedDatabaseAnswersEveryCall(t *testing.T) {
	db := open(t, file(t))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if err := db.Commit(t.Context(), func(*sqlitedb.Tx) error { return nil }); !errors.Is(err, sqlitedb.ErrClosed) {
		t.Errorf("Commit: error %v, want ErrClosed", err)
	}
	if _, err := db.Query(t.Context(), "SELECT 1"); !errors.Is(err, sqlitedb.ErrClosed) {
		t.Errorf("Query: error %v, want ErrClosed", err)
	}
}

func TestCancelledContextIsHeededBeforeTheChangeIsTakenUp(t *testing.T) {
	db := open(t, file(t))
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Commit(ctx, func(tx *sqlitedb.Tx) error {
		cancel() // taken up: from here on the answer is the truth
		return put(tx, "1", "a", 1)
	})
	if err != nil {
		t.Errorf("Commit cancelled on the way: %v", err)
	}
	ran := false
	err = db.Commit(ctx, func(*sqlitedb.Tx) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Commit with a cancelled context: error %v, ran %t", err, ran)
	}
	if _, err := db.Query(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Query with a cancelled context: error %v", err)
	}
}

func TestReadersSeeWhatWasCommittedWhileOthersWrite(t *testing.T) {
	db := open(t, file(t))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d-%d", w, i)
				if err := db.Commit(context.WithoutCancel(t.Context()), func(tx *sqlitedb.Tx) error { return put(tx, id, id, i) }); err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				var n int
				if err := db.QueryRow(context.WithoutCancel(t.Context()), "SELECT n FROM things WHERE domain = 'd' AND id = ?", id).Scan(&n); err != nil || n != i {
					t.Errorf("row %s = %d, %v, want %d", id, n, err, i)
				}
			}
		})
	}
	wg.Wait()
	if r := verify(t, db); r.Rows != 200 {
		t.Errorf("VerifyTrail = %+v, want 200 rows", r)
	}
}

func TestPathWithOddCharactersIsThatFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(dir, "x.db"))
	found, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "x.db"))
	if err != nil || len(found) != 1 || filepath.Dir(found[0]) != dir {
		t.Errorf("the database is at %q, %v, want in %q", found, err, dir)
	}
}
