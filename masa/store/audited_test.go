package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
)

// byHand changes the file of a closed database.
func byHand(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Who can write to the file hides no voucher from the audit-log unnoticed.
func TestVerifyFindsWhatTheAuditLogsAreMadeOfChanged(t *testing.T) {
	for _, statement := range []string{
		"DELETE FROM audited", "UPDATE audited SET issued = issued + 1", "UPDATE audited SET nonceless = 1",
		"UPDATE audited SET device_id = 'another'", "UPDATE audited SET pinned_key = x'00'", "UPDATE audited SET newest = 'x'",
		"INSERT INTO audited VALUES ('default', 'd', x'01', x'', 0, 'x', 1)",
	} {
		path, key := filepath.Join(t.TempDir(), "masa.db"), newKey()
		s := open(t, path, key)
		fill(t, s)
		second := voucherOf("of the same domain", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
		issue(t, s, second)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Verify(t.Context(), path, key.Public()); err != nil {
			t.Fatalf("Verify before the change: %v", err)
		}
		byHand(t, path, statement)
		if _, err := store.Verify(t.Context(), path, key.Public()); !errors.Is(err, sqlitedb.ErrTrail) {
			t.Errorf("Verify after %q: error %v, want ErrTrail", statement, err)
		}
	}
}

func issue(t *testing.T, s *store.Store, v *masa.VoucherRecord) {
	t.Helper()
	v.Voucher = []byte{3}
	if err := s.Commit(t.Context(), &masa.Change{Intents: []*masa.VoucherRecord{v}, Issued: []*masa.VoucherRecord{v}}); err != nil {
		t.Fatal(err)
	}
}

// Most devices get one voucher, and nothing is derived from it.
func TestWhatAuditLogsAreAbridgedToIsOfDevicesWithSeveralVouchers(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "masa.db"), newKey()
	s := open(t, path, key)
	fill(t, s) // with one voucher, which failed first
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	rows := func() (n, issued int) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow("SELECT count(*), coalesce(sum(issued), 0) FROM audited").Scan(&n, &issued); err != nil {
			t.Fatal(err)
		}
		return n, issued
	}
	for i, want := range [][2]int{{0, 0}, {2, 2}, {2, 3}, {2, 4}} {
		if i > 0 {
			v := voucherOf(fmt.Sprint("number", i), at)
			v.PinnedKey = [32]byte{1}
			issue(t, s, v)
		}
		if n, issued := rows(); n != want[0] || issued != want[1] {
			t.Errorf("with %d vouchers it has %d rows, of %d vouchers; want %v", i+1, n, issued, want)
		}
		if _, err := s.VerifyTrail(t.Context()); err != nil {
			t.Errorf("VerifyTrail with %d vouchers: %v", i+1, err)
		}
	}
}

// A database of before the audit-logs were abridged has its vouchers in them.
func TestVouchersOfAnOlderDatabaseAreInTheAuditLog(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "masa.db"), newKey()
	s := open(t, path, key)
	fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	asVersion2(t, path)
	s = open(t, path, key)
	got, _, err := s.NewestVouchers(t.Context(), masa.DefaultDomain, "d", 10)
	if err != nil || len(got) != 1 || got[0].Issued != 1 {
		t.Errorf("NewestVouchers = %+v, %v; want the one voucher", got, err)
	}
	if _, err := s.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
}

// The cost of an audit-log of 256 events, for devices with ever more vouchers.
func BenchmarkAuditLog(b *testing.B) {
	for _, n := range []int{1000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "masa.db"), TrailKey: newKey()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			for done := 0; done < n; done += 1000 {
				var c masa.Change
				for i := done; i < min(n, done+1000); i++ {
					c.Intents = append(c.Intents, &masa.VoucherRecord{
						ID: fmt.Sprintf("%032x", i), Domain: masa.DefaultDomain, DeviceID: "d", Nonce: fmt.Sprint("nonce", i), At: at,
						DomainID: []byte{byte(i), byte(i >> 8)}, PinnedKey: [32]byte{byte(i), byte(i >> 8)}, Request: make([]byte, 400),
					})
				}
				c.Issued = c.Intents
				if err := s.Commit(b.Context(), &c); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, _, err := s.NewestVouchers(b.Context(), masa.DefaultDomain, "d", 256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
