package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
)

// asVersion2 makes a database as the second migration left it: outcomes beside
// the intents in one table, and nothing derived from them.
func asVersion2(t *testing.T, path string) {
	t.Helper()
	first, err := os.ReadFile("migrations/001_tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	const columns = "domain, id, device_id, product, serial_number, assertion, nonce, domain_id, pinned, pinned_key, request, request_hash, " +
		"media_type, address, version, at, expires_on"
	_, vouchers, found := strings.Cut(string(first), "CREATE TABLE vouchers")
	if !found {
		t.Fatal("the first migration makes no vouchers")
	}
	byHand(
		t, path,
		"DROP VIEW voucher_outcomes",
		"DROP INDEX vouchers_id", "DROP INDEX vouchers_nonce", "DROP INDEX vouchers_device", "DROP INDEX vouchers_request",
		"ALTER TABLE vouchers RENAME TO newer",
		"CREATE TABLE vouchers"+vouchers,
		"INSERT INTO vouchers ("+columns+", state, reason, voucher) SELECT "+columns+", coalesce(state, 'intended'), coalesce(reason, ''), voucher "+
			"FROM newer LEFT JOIN outcomes USING (seq)",
		"DROP TABLE restores", "DROP TABLE newer", "DROP TABLE outcomes", "DROP TABLE intended", "DROP TABLE audited",
		"ALTER TABLE devices DROP COLUMN idevid_signed",
		"DELETE FROM schema WHERE version_id >= 3",
	)
}

func TestVouchersOfAnOlderDatabaseAreAsTheyWere(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "masa.db"), newKey()
	s := open(t, path, key)
	fill(t, s)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	waiting, again := voucherOf("waiting", at), voucherOf("again", at)
	for _, c := range []*masa.Change{ // one never had an outcome, one had and is intended again
		{Intents: []*masa.VoucherRecord{waiting, again}},
		{Failed: []*masa.VoucherRecord{again}, Trail: []*trail.Entry{{At: at, Domain: masa.DefaultDomain, Kind: "k"}}},
		{Intents: []*masa.VoucherRecord{again}},
	} {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	before := everything(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	asVersion2(t, path)
	s = open(t, path, key)
	if after := everything(t, s); after != before || strings.Count(before, "intended") != 2 {
		t.Errorf("on record are\n%s\nwere\n%s\ntwo of them intended", after, before)
	}
	if _, err := s.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
	for _, v := range []*masa.VoucherRecord{waiting, again} {
		v.Voucher = []byte{3}
		if err := s.Commit(t.Context(), &masa.Change{Issued: []*masa.VoucherRecord{v}}); err != nil {
			t.Errorf("the outcome of the one %s: %v", v.Nonce, err)
		}
	}
	if open, err := s.OpenIntents(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("OpenIntents = %d rows, %v; want none", len(open), err)
	}
	got, _, err := s.NewestVouchers(t.Context(), masa.DefaultDomain, "d", 10)
	if err != nil || len(got) != 1 || got[0].Issued != 3 {
		t.Errorf("NewestVouchers = %+v, %v; want the three vouchers of the one domain", got, err)
	}
	if _, err := s.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
}

func voucherOf(nonce string, at time.Time) *masa.VoucherRecord {
	return &masa.VoucherRecord{
		ID: masa.NewID(at), Domain: masa.DefaultDomain, DeviceID: "d", Nonce: nonce, At: at, Request: bytes.Repeat([]byte(nonce), 1000),
	}
}

// everything is the text of all vouchers, and of the intents with what they hold.
func everything(t *testing.T, s *store.Store) string {
	t.Helper()
	listed, err := s.ListVouchers(t.Context(), masa.DefaultDomain, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, v := range listed {
		whole, err := s.VoucherByNonce(t.Context(), v.Domain, v.DeviceID, v.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %q %s %x %x\n", v.ID, v.Nonce, v.State, whole.Request[:1], whole.Voucher)
	}
	return b.String()
}
