package store_test

import (
	"crypto"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/masa/storetest"
)

func open(t *testing.T, path string, key crypto.Signer) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path, TrailKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newKey() crypto.Signer { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func TestSQLiteKeepsTheContract(t *testing.T) {
	storetest.TestStore(t, func(t *testing.T) masa.Store {
		return open(t, filepath.Join(t.TempDir(), "masa.db"), newKey())
	})
}

func copyOf[T any](row *T) *T {
	c := *row
	return &c
}

// fill writes one row into every table, in the ways that rows come about.
func fill(t *testing.T, s *store.Store) {
	t.Helper()
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	v := &masa.VoucherRecord{ID: masa.NewID(at), Domain: masa.DefaultDomain, DeviceID: "d", Nonce: "nonce-nonce", At: at, Request: []byte{1}}
	d := &masa.Device{ID: masa.NewID(at), Domain: masa.DefaultDomain, Product: "widget", SerialNumber: "1", State: masa.Known, CreatedAt: at}
	o := &masa.Owner{ID: masa.NewID(at), Domain: masa.DefaultDomain, DeviceID: d.ID, DomainID: []byte{1}, Since: at}
	made, reached := copyOf(d), copyOf(o)
	made.ID, made.SerialNumber, made.KeyHash, made.BuiltAt = masa.NewID(at), "2", []byte{1}, at
	reached.ID, reached.Source, reached.ESTDomain = masa.NewID(at), "sale", "https://est.example"
	done := *v
	done.Voucher = []byte{2}
	for _, c := range []*masa.Change{
		{PutDevices: []*masa.Device{d}, Trail: []*trail.Entry{{At: at, Domain: masa.DefaultDomain, Kind: "k"}}},
		{PutOwners: []*masa.Owner{o}},
		{PutDevices: []*masa.Device{made}},
		{PutOwners: []*masa.Owner{reached}},
		{PutClaims: []*masa.Claim{{ID: masa.NewID(at), Domain: masa.DefaultDomain, CodeHash: []byte{1}, DeviceID: d.ID, CreatedAt: at, ExpiresAt: at}}},
		{Intents: []*masa.VoucherRecord{v}},
		{Failed: []*masa.VoucherRecord{v}},
		{Intents: []*masa.VoucherRecord{v}},
		{Issued: []*masa.VoucherRecord{&done}},
	} {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyFindsEveryChangeByHand(t *testing.T) {
	for _, statement := range []string{
		"UPDATE devices SET state = 'blocked'", "DELETE FROM devices", "UPDATE owners SET until = 1", "DELETE FROM owners",
		"UPDATE devices SET key_hash = x'00' WHERE key_hash IS NULL", "UPDATE devices SET key_hash = NULL",
		"UPDATE devices SET built_at = built_at + 1",
		"UPDATE devices SET idevid_signed = NULL", "UPDATE devices SET idevid_signed = x'00' WHERE idevid_signed IS NULL", "UPDATE owners SET est_domain = ''", "UPDATE owners SET registrar_url = 'x'",
		"UPDATE claims SET redeemed_at = 1", "UPDATE restores SET restored_at = restored_at - 1", "UPDATE restores SET confirmed_at = 1", "DELETE FROM restores", "DELETE FROM claims",
		"UPDATE vouchers SET nonce = 'x'", "UPDATE outcomes SET voucher = x'00'", "UPDATE outcomes SET state = 'failed'",
		"UPDATE outcomes SET seq = seq + 100", "DELETE FROM outcomes", "INSERT INTO intended VALUES (1000)",
		"UPDATE vouchers SET request = NULL", "DELETE FROM vouchers",
	} {
		t.Run(statement, func(t *testing.T) {
			path, key := filepath.Join(t.TempDir(), "masa.db"), newKey()
			s := open(t, path, key)
			fill(t, s)
			verified := &masa.Device{ID: "verified", Domain: masa.DefaultDomain, Product: "widget", SerialNumber: "3", State: masa.Known, IDevIDSigned: []byte{2}}
			restored := &masa.Restore{ID: "restored", Domain: masa.DefaultDomain, RestoredAt: time.Unix(1_900_000_000, 0)}
			if err := s.Commit(t.Context(), &masa.Change{PutDevices: []*masa.Device{verified}, PutRestores: []*masa.Restore{restored}}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.VerifyTrail(t.Context()); err != nil {
				t.Fatalf("VerifyTrail before the change: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Verify(t.Context(), path, key.Public()); !errors.Is(err, sqlitedb.ErrTrail) {
				t.Errorf("Verify after %q: error %v, want ErrTrail", statement, err)
			}
		})
	}
}

func TestOpenRefusesAnotherTrailKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "masa.db")
	s := open(t, path, newKey())
	fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Open(t.Context(), store.Options{Path: path, TrailKey: testpki.NewKey(t)}); err == nil {
		s.Close()
		t.Error("Open with another trail key succeeded")
	}
}
