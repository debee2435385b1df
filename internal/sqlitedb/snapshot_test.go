package sqlitedb_test

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
)

// Readers that keep their snapshots see each change once it was answered, and
// do not keep the write-ahead log from being written back and begun anew.
func TestReadersSeeWhatWasCommittedAndLetTheLogEnd(t *testing.T) {
	path := file(t)
	db := open(t, path)
	data := bytes.Repeat([]byte{7}, 256<<10)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range 60 {
				id := fmt.Sprint(worker)
				err := db.Commit(t.Context(), func(tx *sqlitedb.Tx) error {
					return tx.Put(things(), "d", id, "name "+id, n, true, time.Unix(1, 0), data, [32]byte{})
				})
				if err != nil {
					t.Error(err)
					return
				}
				for range 5 {
					var got int
					if err := db.QueryRow(t.Context(), "SELECT n FROM things WHERE domain = 'd' AND id = ?", id).Scan(&got); err != nil || got != n {
						t.Errorf("after commit %d a reader sees %d, %v", n, got, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	// 60 MiB were written, and the log is written back from 16 MiB on.
	if info.Size() > 24<<20 {
		t.Errorf("the write-ahead log has %d bytes", info.Size())
	}
	t.Logf("the write-ahead log has %d bytes", info.Size())
}
