package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/evidence"
	"github.com/briskest/briskest/registrar/store"
)

// Attributes of a CSR with a password: challengePassword and otpChallenge.
func csrWith(oid string) []byte {
	return append([]byte("0.."), oid+"canary-in-csr"...)
}

const (
	challengePassword = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"
	otpChallenge      = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x38"
)

// withSecrets makes a database in which everything that may be secret has "canary"
// in it, about one device with certificate, voucher, owner and requests.
func withSecrets(t *testing.T) (path, id string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "registrar.db")
	s := open(t, path)
	now, domain := time.Unix(1_900_000_000, 0), registrar.DefaultDomain
	for n := range 3 { // others than the one
		intended, issued := enrollment(100 + n)
		commit(t, s, intended, issued)
	}
	intended, issued := enrollment(1)
	d := issued.PutDevices[0]
	d.SerialNumber = "S-1"
	id = d.ID
	commit(t, s, intended, issued, &registrar.Change{
		PutOutstanding: []*registrar.Outstanding{{Domain: domain, ID: issued.Issued[0].ID, CSR: csrWith(challengePassword), Decided: []byte("canary"), State: []byte("canary")}},
		PutOwners:      []*registrar.DeviceOwner{{Domain: domain, DeviceID: id, Owner: "hotel"}},
		PutVouchers:    []*registrar.VoucherRecord{{Domain: domain, DeviceID: id, ID: id, SerialNumber: "S-1", Voucher: []byte("the voucher"), PledgeRequest: []byte("asked"), At: now}},
		PutPending: []*registrar.Pending{
			{Domain: domain, ID: "a", Key: "a", Kind: "enroll", SerialNumber: "S-1", State: "waiting", Evidence: csrWith(challengePassword)},
			{Domain: domain, ID: "b", Key: "b", Kind: "enroll", SerialNumber: "S-1", State: "waiting", Evidence: csrWith(otpChallenge)},
			{Domain: domain, ID: "c", Key: "c", Kind: "enroll", SerialNumber: "S-1", State: "waiting", Evidence: []byte("a CSR without")},
		},
		PutCredentials: []*registrar.Credential{{Domain: domain, User: "S-1", Salt: []byte("canary"), Digest: []byte("canary"), Realm: "est", HA1: "canary", HA1MD5: "canary"}},
		PutCodes:       []*registrar.Code{{Domain: domain, SerialNumber: "S-1", Digest: []byte("canary"), CreatedAt: now, ExpiresAt: now}},
		Trail: []*trail.Entry{
			{At: now, Domain: domain, Kind: "refused", Device: registrar.StrangerID(domain, "", "S-1"), Reason: "before-it-was-on-record"},
			{At: now, Domain: domain, Kind: "test", Device: id},
		},
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, id
}

func commit(t *testing.T, s *store.Store, all ...*registrar.Change) {
	t.Helper()
	for _, c := range all {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// R15: what is secret is in no archive of evidence. M41, M42: everything else
// about the device is in it, and verifies without the database.
func TestEvidenceHoldsAllAboutADeviceAndNoSecret(t *testing.T) {
	path, id := withSecrets(t)
	for _, ref := range []string{"S-1", id} {
		found, err := store.Extract(t.Context(), path, key().Public(), registrar.DefaultDomain, ref)
		if err != nil {
			t.Fatalf("Extract(%s): %v", ref, err)
		}
		tables := make(map[string]int)
		for _, r := range found.Records {
			tables[r.Table]++
		}
		for _, table := range []string{"devices", "issuances", "certificates/outcome", "vouchers", "device_owners", "pending"} {
			if tables[table] != 1 {
				t.Errorf("%d records of %s, want 1: %v", tables[table], table, tables)
			}
		}
		if len(found.Omitted) != 1 || !strings.Contains(found.Omitted[0], "2 requests") {
			t.Errorf("omitted %q, want a line about 2 requests", found.Omitted)
		}
		d := found.Device
		c := &evidence.Content{
			Subject: evidence.Subject{Domain: d.Domain, ID: d.ID, SerialNumber: d.SerialNumber, State: string(d.State)},
			Extract: found.Extract, Origin: store.Origin, MadeAt: time.Unix(0, 0), MadeBy: "test",
		}
		var b bytes.Buffer
		if err := evidence.Write(&b, c, store.Columns, key()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte("canary")) || bytes.Contains(b.Bytes(), []byte("63616e617279")) {
			t.Error("a secret is in the archive")
		}
		for _, want := range []string{"the voucher", "a CSR without", "before-it-was-on-record", "hotel"} {
			if !bytes.Contains(b.Bytes(), []byte(want)) {
				t.Errorf("%q is not in the archive", want)
			}
		}
		r, err := evidence.Verify(&b, &evidence.VerifyOptions{Key: key().Public(), Columns: store.Columns})
		if err != nil || r.Subject.ID != id {
			t.Errorf("Verify = %+v, %v", r, err)
		}
	}
}

// R8: another domain's device is not found.
func TestEvidenceOfAnotherDomainsDeviceIsNotFound(t *testing.T) {
	path, id := withSecrets(t)
	for _, ref := range []string{"S-1", id} {
		if _, err := store.Extract(t.Context(), path, key().Public(), "other", ref); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("Extract(%s) in another domain: %v, want ErrNotFound", ref, err)
		}
	}
}

func TestNoEvidenceIsMadeOfARecordThatWasTamperedWith(t *testing.T) {
	path, _ := withSecrets(t)
	for _, statement := range []string{
		"UPDATE devices SET state = 'suspended' WHERE serial_number = 'S-1'", "UPDATE vouchers SET voucher = x'00'",
		"UPDATE device_owners SET owner = 'motel'", "DELETE FROM trail_entries WHERE seq = 3", "UPDATE trail_heads SET root = zeroblob(32)",
		"INSERT INTO vouchers SELECT domain, 'x', device_id, manufacturer, serial_number, nonce, media_type, x'01', state, reason, at, NULL, NULL, NULL, NULL, NULL, NULL FROM vouchers",
	} {
		copied, changed := tamper(t, path, statement)
		if changed == 0 {
			t.Errorf("%s changed nothing", statement)
		}
		if _, err := store.Extract(t.Context(), copied, key().Public(), registrar.DefaultDomain, "S-1"); !errors.Is(err, sqlitedb.ErrTrail) {
			t.Errorf("Extract after %s: %v, want ErrTrail", statement, err)
		}
	}
}

// M25, M41: evidence of a device from a list has the entry of its import, with the file's hash and the rows' root,
// whatever became of the device since.
func TestEvidenceHoldsTheImportThatADeviceCameBy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registrar.db")
	s := open(t, path)
	now, domain := time.Unix(1_900_000_000, 0).UTC(), registrar.DefaultDomain
	bulk := &registrar.Change{Trail: []*trail.Entry{{
		At: now, Domain: domain, Kind: registrar.KindDevicesImported, Actor: "cli:me", Body: []byte(`{"file":"list.csv","rows_root":"ab"}`),
	}}}
	for n := range 200 {
		d := &registrar.Device{
			Domain: domain, ID: fmt.Sprintf("%032x", n), Manufacturer: "acme", SerialNumber: fmt.Sprintf("S-%d", n), State: registrar.Expected, Source: "import", CreatedAt: now,
		}
		if n%2 == 1 {
			d.Model = "X"
		}
		bulk.AddDevices = append(bulk.AddDevices, d)
	}
	commit(t, s, bulk)
	for _, n := range []int{7, 8} {
		later := *bulk.AddDevices[n]
		later.State, later.SeenAt = registrar.Vouched, now.Add(time.Hour)
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{&later}, Trail: []*trail.Entry{{At: now, Domain: domain, Kind: "test", Device: later.ID}}})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, serial := range []string{"S-7", "S-8", "S-9", "S-10"} {
		found, err := store.Extract(t.Context(), path, key().Public(), domain, serial)
		if err != nil {
			t.Fatalf("Extract(%s): %v", serial, err)
		}
		imports := 0
		for _, p := range found.Entries {
			if e, err := trail.DecodeEntry(p.Leaf); err == nil && e.Kind == registrar.KindDevicesImported && strings.Contains(string(e.Body), "rows_root") {
				imports++
			}
		}
		if imports != 1 {
			t.Errorf("evidence of %s has %d entries of its import, want 1", serial, imports)
		}
		d := found.Device
		var b bytes.Buffer
		c := &evidence.Content{
			Subject: evidence.Subject{Domain: d.Domain, ID: d.ID, Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber, State: string(d.State)},
			Extract: found.Extract, Origin: store.Origin, MadeAt: now, MadeBy: "test",
		}
		if err := evidence.Write(&b, c, store.Columns, key()); err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Verify(&b, &evidence.VerifyOptions{Key: key().Public(), Columns: store.Columns}); err != nil {
			t.Errorf("Verify of %s: %v", serial, err)
		}
	}
}
