package sqlitedb_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
)

// Whatever differs, the row is afterwards what was given, and the trail says so.
func TestReplacedRowIsWhatWasGivenWhateverDiffers(t *testing.T) {
	db := open(t, file(t))
	commit := func(apply func(tx *sqlitedb.Tx) error) error {
		return db.Commit(t.Context(), apply)
	}
	replace := func(id, name string, n int, data []byte) error {
		table := things().Changing("n", "data")
		return commit(func(tx *sqlitedb.Tx) error {
			return tx.Replace(table, "d", id, name, n, true, time.Unix(1, 5000), data, [32]byte{9})
		})
	}
	if err := commit(func(tx *sqlitedb.Tx) error { return put(tx, "a", "anna", 1) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, id, name string
		n              int
		data           []byte
	}{
		{"what changes", "a", "anna", 2, []byte("x")},
		{"nothing", "a", "anna", 2, []byte("x")},
		{"what changes, to nothing", "a", "anna", 3, nil},
		{"what does not change", "a", "berta", 3, nil},
		{"all", "a", "cleo", 4, []byte("y")},
		{"the row is not there", "b", "dora", 5, []byte("z")},
	} {
		if err := replace(c.id, c.name, c.n, c.data); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		var name string
		var n int
		var data []byte
		if err := db.QueryRow(t.Context(), "SELECT name, n, data FROM things WHERE domain = 'd' AND id = ?", c.id).Scan(&name, &n, &data); err != nil {
			t.Fatal(err)
		}
		if name != c.name || n != c.n || !bytes.Equal(data, c.data) {
			t.Errorf("%s: the row is %q, %d, %q", c.what, name, n, data)
		}
		verify(t, db)
	}
	if err := replace("b", "cleo", 6, nil); !errors.Is(err, sqlitedb.ErrConstraint) {
		t.Errorf("a name that another row has: %v, want ErrConstraint", err)
	}
	verify(t, db)
}
