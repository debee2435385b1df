package sqlitedb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/briskest/briskest/internal/sqlitedb"
)

const diskEnv = "BRISKEST_SQLITEDB_DISK"

// TestDiskHelper commits until its files may grow no more, and prints the
// number of each change that was acknowledged.
func TestDiskHelper(t *testing.T) {
	path := os.Getenv(diskEnv)
	if path == "" {
		return // run by TestDiskErrorIsAnsweredTruthfully
	}
	db := open(t, path)
	signal.Ignore(syscall.SIGXFSZ)
	limit := &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
		t.Fatal(err)
	}
	commit := func(n int) error {
		return db.Commit(t.Context(), func(tx *sqlitedb.Tx) error { return put(tx, fmt.Sprint(n), fmt.Sprint(n), n) })
	}
	n := 0
	err := commit(n)
	for ; err == nil && n < 10000; err = commit(n) {
		if _, err := fmt.Fprintf(os.Stdout, "acknowledged %d\n", n); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if !errors.Is(err, sqlitedb.ErrDisk) {
		t.Errorf("Commit on a disk that takes no more: error %v, want ErrDisk", err)
	}
	if again := commit(n + 1); !errors.Is(again, sqlitedb.ErrDisk) {
		t.Errorf("the Commit after that: error %v, want ErrDisk", again)
	}
}

func TestDiskErrorIsAnsweredTruthfully(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskHelper$") //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), diskEnv+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helper: %v\n%s", err, out)
	}
	acknowledged := strings.Count(string(out), "acknowledged")
	if acknowledged == 0 || bytes.Contains(out, []byte("acknowledged 9999")) {
		t.Fatalf("%d changes were acknowledged before the disk was full", acknowledged)
	}
	db := open(t, path)
	r := verify(t, db)
	if r.Rows < int64(acknowledged) || r.Rows > int64(acknowledged)+1 {
		t.Errorf("%d rows are left of %d acknowledged", r.Rows, acknowledged)
	}
	if err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error { return put(tx, "later", "later", 1) }); err != nil {
		t.Errorf("Commit after reopening: %v", err)
	}
}
