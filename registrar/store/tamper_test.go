package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
)

// filled makes a closed database with at least three rows in every table.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registrar.db")
	s := open(t, path)
	now := time.Unix(1_900_000_000, 0)
	for n := range 12 {
		intended, issued := enrollment(n)
		id, domain := issued.PutDevices[0].ID, registrar.DefaultDomain
		changes := []*registrar.Change{intended}
		switch n % 4 {
		case 0:
			d := issued.PutDevices[0]
			d.IDevID, d.Model, d.Attributes = []byte{0x30, 1, byte(n)}, "m", map[string]string{"site": "north"}
			changes = append(changes, issued)
		case 1:
			changes = append(changes, &registrar.Change{Abandoned: intended.Intents, Trail: issued.Trail})
		case 2:
			changes = append(changes, issued, &registrar.Change{Revoked: issued.Issued, PutCRL: &registrar.CRL{
				Domain: domain, CRLScope: registrar.CRLScope{Authority: issued.Issued[0].Authority, Count: 4, Index: n / 4}, Number: int64(n),
				ThisUpdate: now, NextUpdate: now, Raw: []byte{1},
			}, PutPartitions: []*registrar.CRLPartitions{{Domain: domain, Authority: issued.Issued[0].Authority, Count: 1 << (n / 4)}}})
		default: // stays open
		}
		changes = append(changes, &registrar.Change{
			PutOutstanding: []*registrar.Outstanding{{Domain: domain, ID: id, CSR: []byte{8}, Decided: []byte{9}, State: []byte{10}}},
			PutUntold:      []*registrar.Untold{{Domain: domain, ID: id, At: now, Reason: 4}},
			PutOwners:      []*registrar.DeviceOwner{{Domain: domain, DeviceID: id, Owner: "hotel"}},
			PutQuarantines: []*registrar.Quarantine{{Domain: domain, ID: id, Kind: registrar.QuarantineBatch, Value: "B" + id}},
			PutGroups:      []*registrar.GroupDocument{{Domain: domain, Version: int64(n + 1), Document: []byte{'{', '}'}, Actor: "ann", At: now, Applied: n > 0}},
			PutVouchers:    []*registrar.VoucherRecord{{Domain: domain, ID: id, RequestHash: [32]byte{byte(n)}, Voucher: []byte{1}, At: now}},
			PutBaselines:   []*registrar.BaselineDocument{{Domain: domain, Group: "g", Version: int64(n + 1), Document: []byte{'{', '}'}, Actor: "ann", At: now}},
			PutDeliveries:  []*registrar.BaselineDelivery{{Domain: domain, DeviceID: id, Version: 7, Content: [32]byte{1}, SHA256: [32]byte{2}, At: now, Status: registrar.BaselineApplied, AcknowledgedAt: now}},
			PutAPITokens:   []*registrar.APIToken{{Domain: domain, ID: id, Name: "n", Role: "viewer", Digest: []byte{3}, CreatedAt: now, ExpiresAt: now}},
			PutAhead:       []*registrar.AheadVoucher{{Domain: domain, ID: id, DeviceID: id, Request: []byte{4}, Voucher: []byte{5}, At: now}},
			PutPending:     []*registrar.Pending{{Domain: domain, ID: id, Key: id, State: "waiting", Evidence: []byte{2}}},
			PutCredentials: []*registrar.Credential{{Domain: domain, User: id, Salt: []byte{3}, Digest: []byte{4}, Realm: "est", HA1: "x", HA1MD5: "y"}},
			PutCodes: []*registrar.Code{{
				Domain: domain, SerialNumber: id, Digest: []byte{5}, CreatedAt: now, ExpiresAt: now, SpentAt: now, SpentKey: [32]byte{6}, SpentNames: [32]byte{7},
			}},
			Trail: []*trail.Entry{{At: now, Domain: domain, Kind: "test", Device: id}},
		})
		for _, c := range changes {
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatalf("Commit: %v", err)
			}
		}
	}
	if _, err := s.VerifyTrail(t.Context()); err != nil {
		t.Fatalf("VerifyTrail: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// tamper runs the statement on a copy of the database.
func tamper(t *testing.T, path, statement string, args ...any) (copied string, changed int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied = filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+copied)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	res, err := db.ExecContext(t.Context(), statement, args...)
	if err != nil {
		t.Logf("%s: %v", statement, err) // a constraint forbids it
		return copied, 0
	}
	changed, err = res.RowsAffected()
	if err != nil {
		t.Fatal(err)
	}
	return copied, changed
}

// columns lists a table's columns with their types.
func columns(t *testing.T, path, table string) (names, types []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT name, type FROM pragma_table_info(?)", table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			t.Fatal(err)
		}
		names, types = append(names, name), append(types, typ)
	}
	return names, types
}

var tampered = []struct{ table, key string }{
	{"devices", "id"}, {"idevids", "row"}, {"intents", "id"}, {"certificates", "id"}, {"outstanding", "id"}, {"untold", "id"}, {"lists", "number"}, {"revocations", "serial"}, {"list_partitions", "partitions"},
	{"vouchers", "id"}, {"pending", "id"}, {"credentials", "user"}, {"device_owners", "device_id"}, {"quarantines", "id"}, {"group_documents", "version"},
	{"credential_digests", "user"}, {"codes", "serial_number"}, {"vouchers_ahead", "id"}, {"api_tokens", "id"}, {"baseline_documents", "version"}, {"baseline_deliveries", "device_id"},
	{"trail_entries", "seq"}, {"trail_heads", "number"}, {"trail_edge", "id"},
}

// A table that is not in the list above, or named here with the reason, is one that nobody tried.
func TestEveryTableIsTamperedWith(t *testing.T) {
	known := map[string]string{
		"schema": "counts migrations", "trail_schema": "counts migrations", "event_targets": "how far targets are", "event_letters": "what waits for them", "event_receipts": "what they got",
		"api_replies": "what clients were told, for a day", "device_attributes": "compared with devices", "device_counts": "compared with devices, below", "crls": "is filled by programs of before alone",
	}
	for _, tt := range tampered {
		known[tt.table] = "tried"
	}
	db, err := sql.Open("sqlite", "file:"+filled(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if known[name] == "" {
			t.Errorf("nobody tried what happens when %s is changed by hand", name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestRowDeletedByHandIsFound(t *testing.T) {
	path := filled(t)
	tried := 0
	for _, tt := range tampered {
		for place, order := range places(tt.key) {
			statement := fmt.Sprintf("DELETE FROM %s WHERE %s = (SELECT %s FROM %s ORDER BY %s)", tt.table, tt.key, tt.key, tt.table, order)
			copied, changed := tamper(t, path, strings.ReplaceAll(statement, "TABLE_", tt.table))
			if changed != 1 {
				t.Fatalf("%s changed %d rows", statement, changed)
			}
			tried++
			wantFound(t, copied, fmt.Sprintf("the %s row of %s deleted", place, tt.table))
		}
		copied, _ := tamper(t, path, "DELETE FROM "+tt.table)
		wantFound(t, copied, "every row of "+tt.table+" deleted")
	}
	copied, _ := tamper(t, path, "DELETE FROM trail_entries WHERE seq = (SELECT max(seq) FROM trail_entries);"+
		" DELETE FROM trail_heads WHERE number = (SELECT max(number) FROM trail_heads)")
	wantFound(t, copied, "the last entry and the last head deleted")
	t.Logf("%d deleted rows found", tried)
}

func places(key string) map[string]string {
	return map[string]string{
		"first":  key + " LIMIT 1",
		"middle": key + " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM TABLE_)",
		"last":   key + " DESC LIMIT 1",
	}
}

func wantFound(t *testing.T, path, what string) {
	t.Helper()
	r, err := store.Verify(t.Context(), path, key().Public())
	if !errors.Is(err, sqlitedb.ErrTrail) {
		t.Errorf("Verify with %s = %+v, error %v, want ErrTrail", what, r, err)
	}
}

func TestColumnChangedByHandIsFound(t *testing.T) {
	path := filled(t)
	tried := 0
	for _, tt := range tampered {
		names, types := columns(t, path, tt.table)
		for i, column := range names {
			if tt.table == "devices" && (column == "row" || column == "idevid_hash") {
				continue // where a row is, and what spares a look: a wrong one is found, or says the same
			}
			for place, order := range places(tt.key) {
				if place != "middle" && i > 1 {
					continue // two columns will do at the ends
				}
				for _, value := range changesOf(column, types[i]) {
					statement := fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s = (SELECT %s FROM %s ORDER BY %s)",
						tt.table, column, value, tt.key, tt.key, tt.table, order)
					copied, changed := tamper(t, path, strings.ReplaceAll(statement, "TABLE_", tt.table))
					if changed == 0 {
						continue
					}
					tried++
					wantFound(t, copied, fmt.Sprintf("%s = %s in the %s row of %s", column, value, place, tt.table))
				}
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d changes were possible", tried)
	}
	t.Logf("%d changed columns found", tried)
}

// A device whose IDevID is hidden, or another's, is not as the trail says.
func TestIDevIDTakenFromItsDeviceIsFound(t *testing.T) {
	path := filled(t)
	for _, statement := range []string{
		"UPDATE devices SET idevid_hash = NULL",
		"UPDATE devices SET row = 1000000 WHERE row = (SELECT min(row) FROM idevids)",
		"UPDATE idevids SET raw = raw || x'00' WHERE row = (SELECT max(row) FROM idevids)",
	} {
		copied, changed := tamper(t, path, statement)
		if changed == 0 {
			t.Errorf("%s changed nothing", statement)
		}
		wantFound(t, copied, statement)
	}
}

// A domain's count of devices, which its quota goes by, is that of its devices.
func TestACountOfDevicesChangedByHandIsFound(t *testing.T) {
	path := filled(t)
	for _, statement := range []string{
		"UPDATE device_counts SET devices = devices - 1", "DELETE FROM device_counts",
		"INSERT INTO device_counts (domain, devices) VALUES ('another', 1000000)",
	} {
		copied, changed := tamper(t, path, statement)
		if changed == 0 {
			t.Errorf("%s changed nothing", statement)
		}
		wantFound(t, copied, statement)
	}
}

// changesOf gives expressions that differ from what the column holds.
func changesOf(column, typ string) []string {
	switch typ {
	case "INTEGER":
		return []string{column + " + 1000"}
	case "TEXT":
		return []string{column + " || 'x'", "CAST(" + column + " AS BLOB)"}
	default:
		return []string{"coalesce(" + column + ", x'') || x'00'"}
	}
}

func TestRowInsertedByHandIsFound(t *testing.T) {
	path := filled(t)
	for _, tt := range tampered {
		if tt.table == "idevids" {
			continue // of a device that is not there: nobody reads it
		}
		names, types := columns(t, path, tt.table)
		values := make([]string, len(names))
		for i, name := range names {
			values[i] = name
			if types[i] == "BLOB" && (name == "id" || name == "serial" || name == "request_hash") {
				values[i] = "x'7f' || " + name
			} else if name == "id" || name == "device_id" && (tt.table == "device_owners" || tt.table == "baseline_deliveries") || name == "user" || name == "key" || name == "serial_number" {
				values[i] = "'f' || " + name
			} else if name == "row" {
				values[i] = "NULL"
			} else if name == "number" || name == "seq" || name == "partitions" || name == "version" && strings.HasSuffix(tt.table, "_documents") {
				values[i] = name + " + 100"
			}
		}
		copied, changed := tamper(t, path, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s ORDER BY %s LIMIT 1",
			tt.table, strings.Join(names, ", "), strings.Join(values, ", "), tt.table, tt.key))
		if changed == 0 {
			if tt.table != "trail_edge" {
				t.Errorf("no row could be inserted into %s", tt.table)
			}
			continue
		}
		wantFound(t, copied, "a row inserted into "+tt.table)
	}
}

func TestTrailIsVerifiedOnlyWithItsKey(t *testing.T) {
	path := filled(t)
	other := key()
	other = append(other[:32:32], make([]byte, 32)...)
	if _, err := store.Verify(t.Context(), path, other.Public()); !errors.Is(err, sqlitedb.ErrTrail) {
		t.Errorf("Verify with another key: error %v, want ErrTrail", err)
	}
	if r, err := store.Verify(t.Context(), path, key().Public()); err != nil || r.Entries < 30 || r.Rows < 50 {
		t.Errorf("Verify = %+v, %v", r, err)
	}
}

// The check runs beside the server: it needs no lock and sees one state.
func TestTrailIsVerifiedWhileTheServerWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registrar.db")
	s := open(t, path)
	for n := range 60 {
		intended, issued := enrollment(n)
		for _, c := range []*registrar.Change{intended, issued} {
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		r, err := store.Verify(t.Context(), path, key().Public())
		if err != nil || r.Entries != int64(2*n+2) {
			t.Fatalf("Verify after %d enrollments = %+v, %v", n+1, r, err)
		}
	}
}
