package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

// TestStore runs the contract of masa.Store. Open returns an empty store,
// which it closes with t.Cleanup.
func TestStore(t *testing.T, open func(t *testing.T) masa.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, masa.Store)
	}{
		{"DeviceIsReadBackAsWritten", testDevice},
		{"SecondDeviceOfAnIdentityIsAConflict", testDeviceConflict},
		{"DevicesAreListedInOrderOfID", testListDevices},
		{"OwnersAreThoseOfTheDevice", testOwners},
		{"ClaimsAreThoseOfTheDeviceAndOfTheCode", testClaims},
		{"ClaimIsRedeemedOnce", testClaimOnce},
		{"VoucherGoesFromIntentToIssued", testIssue},
		{"VoucherThatFailedBeginsAgain", testFailed},
		{"StateMovesOnlyFromWhereTheContractSays", testMoves},
		{"OutcomeIsOfTheIntentThatIsThere", testReplaced},
		{"NonceIsUniqueToADevice", testNonce},
		{"NewestVoucherOfARequestIsFound", testByRequest},
		{"WhatChangedIsReadAsItIsNow", testChanged},
		{"IssuedVouchersAreListedNewestFirst", testDeviceVouchers},
		{"VouchersOfADeviceAreListedAsTheyComeToBe", testOnlyVoucher},
		{"NewestVouchersAreThoseOfEachDomain", testNewest},
		{"ChangeIsWholeOrNothing", testAtomic},
		{"OneOfConcurrentIntentsForANonceWins", testConcurrent},
		{"RestoresAreReadBackAsWritten", testRestores},
		{"TrailIsInOrderAndFiltered", testTrail},
		{"DomainsDoNotMeet", testDomains},
		{"MissingRowsAreErrNotFound", testMissing},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func at(seconds int) time.Time { return time.Date(2030, 1, 2, 3, 4, seconds, 123456000, time.UTC) }

func id(n int) string { return fmt.Sprintf("%032x", n) }

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func device(n int) *masa.Device {
	return &masa.Device{
		ID: id(n), Domain: masa.DefaultDomain, Product: "widget", SerialNumber: fmt.Sprintf("SN-%d", n), State: masa.Blocked,
		Reason: "stolen, reported by\nthe customer \x00", IDevID: []byte{0x30, 1, byte(n)}, Batch: "2030-01", Source: "import",
		CreatedAt: at(0), BlockedAt: at(1), KeyHash: []byte{1, 2, byte(n)}, BuiltAt: at(2),
		IDevIDSigned: []byte{3, byte(n)},
	}
}

func record(n, dev int, nonce string) *masa.VoucherRecord {
	return &masa.VoucherRecord{
		ID: id(n), Domain: masa.DefaultDomain, DeviceID: id(dev), Product: "widget", SerialNumber: fmt.Sprintf("SN-%d", dev),
		State: masa.Intended, Assertion: voucher.Proximity, Nonce: nonce, DomainID: []byte{1, 2, 3}, Pinned: []byte{0x30, 2},
		PinnedKey: hash("key"), Request: []byte{0x30, 3, byte(n)}, RequestHash: hash(fmt.Sprint("request", n)),
		MediaType: "application/voucher-cms+json", Address: "::1", Version: "1", At: at(2), ExpiresOn: at(9),
	}
}

func issued(v *masa.VoucherRecord) *masa.VoucherRecord {
	c := *v
	c.State, c.Voucher = masa.Issued, []byte("voucher "+v.ID)
	return &c
}

func commit(t *testing.T, s masa.Store, c *masa.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func wantConflict(t *testing.T, s masa.Store, what string, c *masa.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); !errors.Is(err, masa.ErrConflict) {
		t.Errorf("Commit of %s: error %v, want ErrConflict", what, err)
	}
}

func want[T any](t *testing.T, call string, got T, err error, expected T) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	if !reflect.DeepEqual(got, expected) {
		g, _ := json.Marshal(got)
		e, _ := json.Marshal(expected)
		t.Errorf("%s = %s, want %s", call, g, e)
	}
}

func ids(vouchers []*masa.VoucherRecord) []string {
	out := []string{}
	for _, v := range vouchers {
		out = append(out, v.ID)
	}
	return out
}

func testDevice(t *testing.T, s masa.Store) {
	d := device(1)
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{d}})
	got, err := s.Device(t.Context(), d.Domain, d.ID)
	want(t, "Device", got, err, d)
	changed := *d
	changed.State, changed.Reason, changed.IDevID, changed.BlockedAt = masa.Known, "", nil, time.Time{}
	changed.KeyHash, changed.BuiltAt, changed.IDevIDSigned = nil, time.Time{}, nil
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{&changed}})
	got, err = s.DeviceBySerialNumber(t.Context(), d.Domain, "widget", "SN-1")
	want(t, "DeviceBySerialNumber", got, err, &changed)
}

func testDeviceConflict(t *testing.T, s masa.Store) {
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{device(1)}})
	twin := device(1)
	twin.ID = id(2)
	wantConflict(t, s, "a second device of the identity", &masa.Change{PutDevices: []*masa.Device{twin}})
	twin.Product = "gadget"
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{twin}})
	got, err := s.FindDevices(t.Context(), masa.DefaultDomain, "SN-1")
	want(t, "FindDevices", got, err, []*masa.Device{device(1), twin})
}

func testListDevices(t *testing.T, s masa.Store) {
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{device(3), device(1), device(2)}})
	got, err := s.ListDevices(t.Context(), masa.DefaultDomain, "", 2)
	want(t, "ListDevices", got, err, []*masa.Device{device(1), device(2)})
	got, err = s.ListDevices(t.Context(), masa.DefaultDomain, id(2), 2)
	want(t, "ListDevices after 2", got, err, []*masa.Device{device(3)})
}

func testOwners(t *testing.T, s masa.Store) {
	key := hash("ca")
	mine := &masa.Owner{ID: id(1), Domain: masa.DefaultDomain, DeviceID: id(9), Name: "Example", KeyHash: key[:], Since: at(0)}
	later := &masa.Owner{ID: id(2), Domain: masa.DefaultDomain, DeviceID: id(9), Fingerprint: key[:], DomainID: []byte{7}, Since: at(1),
		Source: "claim", RegistrarURL: "https://registrar.example", ESTDomain: "https://est.example"}
	other := &masa.Owner{ID: id(3), Domain: masa.DefaultDomain, DeviceID: id(8), DomainID: []byte{7}, Since: at(1)}
	commit(t, s, &masa.Change{PutOwners: []*masa.Owner{later, other, mine}})
	mine.Until = at(5)
	commit(t, s, &masa.Change{PutOwners: []*masa.Owner{mine}})
	got, err := s.Owners(t.Context(), masa.DefaultDomain, id(9))
	want(t, "Owners", got, err, []*masa.Owner{mine, later})
}

func claim(n, dev int) *masa.Claim {
	code := hash("code")
	return &masa.Claim{
		ID: id(n), Domain: masa.DefaultDomain, CodeHash: code[:], DeviceID: id(dev), Resale: n == 1, CreatedAt: at(1), ExpiresAt: at(9),
	}
}

func testClaims(t *testing.T, s masa.Store) {
	other := claim(3, 9)
	other.CodeHash = []byte("another code")
	commit(t, s, &masa.Change{PutClaims: []*masa.Claim{claim(2, 9), claim(1, 8), other}})
	got, err := s.Claims(t.Context(), masa.DefaultDomain, id(9))
	want(t, "Claims", got, err, []*masa.Claim{claim(2, 9), other})
	got, err = s.ClaimsByCode(t.Context(), masa.DefaultDomain, hash("code"))
	want(t, "ClaimsByCode", got, err, []*masa.Claim{claim(1, 8), claim(2, 9)})
	got, err = s.ClaimsByCode(t.Context(), "other", hash("code"))
	want(t, "ClaimsByCode of another domain", len(got), err, 0)
	got, err = s.Claims(t.Context(), "other", id(9))
	want(t, "Claims of another domain", len(got), err, 0)
}

func testClaimOnce(t *testing.T, s masa.Store) {
	c := claim(1, 9)
	commit(t, s, &masa.Change{PutClaims: []*masa.Claim{c}})
	c.RedeemedAt, c.OwnerID = at(3), id(7)
	commit(t, s, &masa.Change{PutClaims: []*masa.Claim{c}})
	wantConflict(t, s, "a claim redeemed twice", &masa.Change{PutClaims: []*masa.Claim{c}})
	ended := claim(2, 9)
	ended.EndedAt = at(4)
	commit(t, s, &masa.Change{PutClaims: []*masa.Claim{ended}})
	wantConflict(t, s, "a claim that has ended", &masa.Change{PutClaims: []*masa.Claim{claim(2, 9)}})
	got, err := s.Claims(t.Context(), masa.DefaultDomain, id(9))
	want(t, "Claims", got, err, []*masa.Claim{c, ended})
}

func testIssue(t *testing.T, s masa.Store) {
	v := record(1, 9, "nonce-1")
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
	got, err := s.OpenIntents(t.Context())
	want(t, "OpenIntents", got, err, []*masa.VoucherRecord{v})
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
	one, err := s.VoucherByNonce(t.Context(), v.Domain, v.DeviceID, v.Nonce)
	want(t, "VoucherByNonce", one, err, issued(v))
	got, err = s.OpenIntents(t.Context())
	want(t, "OpenIntents after the outcome", len(got), err, 0)
}

func testFailed(t *testing.T, s masa.Store) {
	v := record(1, 9, "nonce-1")
	failed := *v
	failed.State, failed.Reason = masa.Failed, "interrupted"
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
	commit(t, s, &masa.Change{Failed: []*masa.VoucherRecord{&failed}})
	got, err := s.VoucherByNonce(t.Context(), v.Domain, v.DeviceID, v.Nonce)
	want(t, "VoucherByNonce of the failed one", got, err, &failed)
	v.Assertion, v.At = voucher.Logged, at(30)
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
	got, err = s.VoucherByNonce(t.Context(), v.Domain, v.DeviceID, v.Nonce)
	want(t, "VoucherByNonce of the second attempt", got, err, issued(v))
}

func testMoves(t *testing.T, s masa.Store) {
	v := record(1, 9, "nonce-1")
	wantConflict(t, s, "an outcome without intent", &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
	wantConflict(t, s, "a second voucher", &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
	wantConflict(t, s, "the failure of an issued one", &masa.Change{Failed: []*masa.VoucherRecord{v}})
	wantConflict(t, s, "a new intent of an issued one", &masa.Change{Intents: []*masa.VoucherRecord{v}})
	got, err := s.VoucherByNonce(t.Context(), v.Domain, v.DeviceID, v.Nonce)
	want(t, "VoucherByNonce", got, err, issued(v))
}

// Two processes work on one nonce: the intent is that of the second.
func testReplaced(t *testing.T, s masa.Store) {
	v := record(1, 9, "nonce-1")
	for name, change := range map[string]func(*masa.VoucherRecord){
		"request":    func(v *masa.VoucherRecord) { v.RequestHash = hash("another") },
		"media type": func(v *masa.VoucherRecord) { v.MediaType = "application/voucher+cose" },
		"time":       func(v *masa.VoucherRecord) { v.At = at(3) },
	} {
		commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
		other := *v
		change(&other)
		commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{&other}})
		wantConflict(t, s, "the voucher of an intent with another "+name, &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
		wantConflict(t, s, "the failure of an intent with another "+name, &masa.Change{Failed: []*masa.VoucherRecord{v}})
	}
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{v}})
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(v)}})
}

func testNonce(t *testing.T, s masa.Store) {
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{record(1, 9, "nonce-1")}})
	wantConflict(t, s, "the nonce again", &masa.Change{Intents: []*masa.VoucherRecord{record(2, 9, "nonce-1")}})
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{
		record(3, 8, "nonce-1"), record(4, 9, "NONCE-1"), record(5, 9, ""), record(6, 9, ""),
	}})
}

func testByRequest(t *testing.T, s masa.Store) {
	old, newer, other := record(1, 9, ""), record(2, 9, ""), record(3, 9, "nonce-1")
	newer.RequestHash, other.RequestHash = old.RequestHash, old.RequestHash
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{newer, old, other}})
	got, err := s.NoncelessByRequest(t.Context(), old.Domain, old.RequestHash)
	want(t, "NoncelessByRequest", got, err, newer)
}

func testDeviceVouchers(t *testing.T, s masa.Store) {
	var all []*masa.VoucherRecord
	for n := 1; n <= 4; n++ {
		all = append(all, record(n, 9, fmt.Sprint("nonce-", n)))
	}
	commit(t, s, &masa.Change{
		Intents: append(all, record(7, 8, "")),
		Issued:  []*masa.VoucherRecord{issued(all[0]), issued(all[2]), issued(all[3])},
	})
	got, err := s.DeviceVouchers(t.Context(), masa.DefaultDomain, id(9), 0)
	want(t, "DeviceVouchers", ids(got), err, []string{id(4), id(3), id(1)})
	bare := issued(all[3])
	bare.Request, bare.Voucher = nil, nil
	want(t, "DeviceVouchers[0]", got[0], nil, bare)
	got, err = s.DeviceVouchers(t.Context(), masa.DefaultDomain, id(9), 1)
	want(t, "DeviceVouchers limited", ids(got), err, []string{id(4)})
	got, err = s.ListVouchers(t.Context(), masa.DefaultDomain, id(1), 3)
	want(t, "ListVouchers", ids(got), err, []string{id(2), id(3), id(4)})
}

func testAtomic(t *testing.T, s masa.Store) {
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{device(1)}})
	wantConflict(t, s, "a change whose last part conflicts", &masa.Change{
		PutDevices: []*masa.Device{device(2)},
		Intents:    []*masa.VoucherRecord{record(1, 2, "nonce-1")},
		Issued:     []*masa.VoucherRecord{issued(record(2, 2, "nonce-2"))},
		Trail:      []*trail.Entry{{At: at(0), Domain: masa.DefaultDomain, Kind: "k", Device: id(2)}},
	})
	devices, err := s.ListDevices(t.Context(), masa.DefaultDomain, "", 10)
	want(t, "ListDevices", devices, err, []*masa.Device{device(1)})
	open, err := s.OpenIntents(t.Context())
	want(t, "OpenIntents", len(open), err, 0)
	entries, err := s.TrailEntries(t.Context(), masa.DefaultDomain, id(2), 0, 10)
	want(t, "TrailEntries", len(entries), err, 0)
}

func testConcurrent(t *testing.T, s masa.Store) {
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			err := s.Commit(t.Context(), &masa.Change{Intents: []*masa.VoucherRecord{record(n, 9, "one")}})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, masa.ErrConflict):
				lost.Add(1)
			default:
				t.Errorf("Commit: %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d intents for one nonce were taken and %d refused, want 1 and 15", won.Load(), lost.Load())
	}
}

func testTrail(t *testing.T, s masa.Store) {
	entry := func(domain, dev string) *trail.Entry {
		return &trail.Entry{At: at(1), Domain: domain, Kind: "kind", Device: dev, Actor: "test", Reason: "r", Body: json.RawMessage(`{"a":1}`)}
	}
	all := []*trail.Entry{entry(masa.DefaultDomain, "a"), entry(masa.DefaultDomain, "b"), entry("other", "a")}
	for _, e := range all {
		commit(t, s, &masa.Change{Trail: []*trail.Entry{e}})
	}
	if all[0].Seq >= all[1].Seq {
		t.Errorf("sequence numbers %d, %d do not rise", all[0].Seq, all[1].Seq)
	}
	got, err := s.TrailEntries(t.Context(), masa.DefaultDomain, "", 0, 10)
	want(t, "TrailEntries", got, err, all[:2])
	got, err = s.TrailEntries(t.Context(), masa.DefaultDomain, "b", all[1].Seq, 10)
	want(t, "TrailEntries of b", got, err, all[1:2])
	got, err = s.TrailEntries(t.Context(), masa.DefaultDomain, "a", all[1].Seq, 10)
	want(t, "TrailEntries of a from the second", len(got), err, 0)
}

func testDomains(t *testing.T, s masa.Store) {
	d, v := device(1), record(1, 1, "nonce-1")
	o := &masa.Owner{ID: id(1), Domain: d.Domain, DeviceID: d.ID, DomainID: []byte{7}, Since: at(1)}
	commit(t, s, &masa.Change{
		PutDevices: []*masa.Device{d}, PutOwners: []*masa.Owner{o}, Intents: []*masa.VoucherRecord{v},
		Issued: []*masa.VoucherRecord{issued(v)},
	})
	ctx := t.Context()
	count := func(n int, err error) {
		t.Helper()
		if n != 0 || err != nil && !errors.Is(err, masa.ErrNotFound) {
			t.Errorf("another domain sees %d rows, error %v", n, err)
		}
	}
	one := func(found bool, err error) {
		t.Helper()
		if found || !errors.Is(err, masa.ErrNotFound) {
			t.Errorf("another domain's row: found %t, error %v, want ErrNotFound", found, err)
		}
	}
	gotDevice, err := s.Device(ctx, "other", d.ID)
	one(gotDevice != nil, err)
	gotDevice, err = s.DeviceBySerialNumber(ctx, "other", d.Product, d.SerialNumber)
	one(gotDevice != nil, err)
	gotVoucher, err := s.VoucherByNonce(ctx, "other", v.DeviceID, v.Nonce)
	one(gotVoucher != nil, err)
	gotVoucher, err = s.NoncelessByRequest(ctx, "other", v.RequestHash)
	one(gotVoucher != nil, err)
	devices, err := s.FindDevices(ctx, "other", d.SerialNumber)
	count(len(devices), err)
	devices, err = s.ListDevices(ctx, "other", "", 10)
	count(len(devices), err)
	owners, err := s.Owners(ctx, "other", d.ID)
	count(len(owners), err)
	vouchers, err := s.DeviceVouchers(ctx, "other", d.ID, 0)
	count(len(vouchers), err)
	vouchers, err = s.ListVouchers(ctx, "other", "", 10)
	count(len(vouchers), err)
}

func testMissing(t *testing.T, s masa.Store) {
	ctx := t.Context()
	_, err1 := s.Device(ctx, masa.DefaultDomain, id(1))
	_, err2 := s.DeviceBySerialNumber(ctx, masa.DefaultDomain, "widget", "SN-1")
	_, err3 := s.VoucherByNonce(ctx, masa.DefaultDomain, id(1), "nonce")
	_, err4 := s.VoucherByNonce(ctx, masa.DefaultDomain, id(1), "")
	_, err5 := s.NoncelessByRequest(ctx, masa.DefaultDomain, hash("x"))
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, masa.ErrNotFound) {
			t.Errorf("read %d of a missing row: error %v, want ErrNotFound", i+1, err)
		}
	}
}
