package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
)

// Issue 6, point 8: copies are taken while eight writers enroll. Each verifies, has
// every enrollment that was acknowledged before it was begun, is continued, and
// takes neither a serial number nor a voucher's nonce that it knows a second time.
func TestABackupTakenUnderLoadHoldsAllThatWasAcknowledgedBefore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "registrar.db")
	s := open(t, path)
	asked := &registrar.VoucherRecord{
		Domain: registrar.DefaultDomain, ID: registrar.NewID(time.Unix(1_900_000_000, 0)), DeviceID: "d", Nonce: "n", RequestHash: [32]byte{1}, State: "issued", Voucher: []byte{7},
	}
	commit(t, s, &registrar.Change{PutVouchers: []*registrar.VoucherRecord{asked}})
	var next, acknowledged atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				intended, issued := enrollment(int(next.Add(1)))
				for _, c := range []*registrar.Change{intended, issued} {
					if err := s.Commit(context.WithoutCancel(ctx), c); err != nil {
						t.Error(err)
						return
					}
				}
				acknowledged.Add(1)
			}
		})
	}
	type copied struct {
		path   string
		before int64
		head   *trail.Head
	}
	var copies []copied
	for n := range 5 {
		for acknowledged.Load() < int64(40*n) && ctx.Err() == nil && !t.Failed() {
			intended, issued := enrollment(int(next.Add(1)))
			commit(t, s, intended, issued)
			acknowledged.Add(1)
		}
		c := copied{path: filepath.Join(dir, "copy"+string(rune('0'+n))), before: acknowledged.Load()}
		out, err := sqlitedb.Copy(t.Context(), path, c.path)
		if err != nil {
			t.Fatal(err)
		}
		c.head = out.Head
		copies = append(copies, c)
	}
	stop()
	writers.Wait()
	for n, c := range copies {
		r, err := store.Verify(t.Context(), c.path, key().Public())
		if err != nil || r.Entries != c.head.Size || r.Head != c.head.Root {
			t.Fatalf("copy %d: %+v, %v; head %+v", n, r, err, c.head)
		}
		restored := open(t, c.path)
		all, err := restored.ListCertificates(t.Context(), &registrar.CertificateQuery{Domain: registrar.DefaultDomain, Status: registrar.Issued, Limit: 10000})
		if err != nil || int64(len(all)) < c.before {
			t.Errorf("copy %d has %d certificates, and %d were acknowledged before it, %v", n, len(all), c.before, err)
		}
		again := *asked
		again.ID, again.State, again.RequestHash = registrar.NewID(time.Unix(1_900_000_001, 0)), "asked", [32]byte{2}
		if err := restored.Commit(t.Context(), &registrar.Change{PutVouchers: []*registrar.VoucherRecord{&again}}); !errors.Is(err, registrar.ErrConflict) {
			t.Errorf("copy %d: a second exchange for the nonce: %v, want ErrConflict", n, err)
		}
		for _, cert := range all[:min(3, len(all))] {
			same := *cert
			same.ID = registrar.NewID(time.Unix(1_900_000_002, 0))
			if err := restored.Commit(t.Context(), &registrar.Change{Intents: []*registrar.Certificate{&same}}); !errors.Is(err, registrar.ErrConflict) {
				t.Errorf("copy %d: the serial number %x a second time: %v, want ErrConflict", n, cert.Serial, err)
			}
		}
		commit(t, restored, &registrar.Change{Trail: []*trail.Entry{{Domain: registrar.DefaultDomain, Kind: "test"}}})
		if r, err := restored.VerifyTrail(t.Context()); err != nil || r.Entries != c.head.Size+1 {
			t.Errorf("copy %d continued: %+v, %v", n, r, err)
		}
		if err := restored.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestACopyNeverReplacesAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "registrar.db")
	s := open(t, path)
	intended, issued := enrollment(1)
	commit(t, s, intended, issued)
	to := filepath.Join(dir, "copy")
	if _, err := sqlitedb.Copy(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitedb.Copy(t.Context(), path, to); err == nil {
		t.Error("a copy replaced the one before")
	}
	if _, err := sqlitedb.Copy(t.Context(), filepath.Join(dir, "nothing.db"), filepath.Join(dir, "other")); err == nil {
		t.Error("a database that is not there was copied")
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err := sqlitedb.Copy(ended, path, filepath.Join(dir, "third")); !errors.Is(err, context.Canceled) {
		t.Errorf("Copy when told to stop: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "[ot][th]*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
