package storetest

import (
	"testing"

	"github.com/briskest/briskest/masa"
)

// newest is one row of NewestVouchers, for comparison.
type newest struct {
	ID     string
	Issued int
}

func testNewest(t *testing.T, s masa.Store) {
	mine := func(n int, nonce string) *masa.VoucherRecord { return record(n, 9, nonce) }
	other, renamed, elsewhere := record(6, 9, "nonce-6"), record(7, 9, "nonce-7"), record(8, 8, "nonce-8")
	other.PinnedKey = hash("another key")
	renamed.DomainID = nil
	failed, open := record(9, 9, "nonce-9"), record(10, 9, "nonce-10")
	failed.PinnedKey, open.PinnedKey = hash("failed"), hash("open")
	change := &masa.Change{Intents: []*masa.VoucherRecord{
		mine(1, "nonce-1"), mine(2, ""), mine(3, "nonce-3"), mine(4, ""), mine(5, "nonce-5"), other, renamed, elsewhere, failed, open,
	}}
	for _, v := range change.Intents[:8] {
		change.Issued = append(change.Issued, issued(v))
	}
	change.Failed = []*masa.VoucherRecord{failed}
	commit(t, s, change)
	read := func(deviceID string, limit, wantRest int) []newest {
		t.Helper()
		list, rest, err := s.NewestVouchers(t.Context(), masa.DefaultDomain, deviceID, limit)
		if err != nil || rest != wantRest {
			t.Errorf("NewestVouchers up to %d: a rest of %d, %v; want %d", limit, rest, err, wantRest)
		}
		var out []newest
		for _, d := range list {
			out = append(out, newest{d.Newest.ID, d.Issued})
			if d.Newest.Request != nil || d.Newest.Voucher != nil || d.Newest.State != masa.Issued || d.Newest.Nonce == "" && d.Newest.ExpiresOn.IsZero() {
				t.Errorf("NewestVouchers: %+v, want a listed row", d.Newest)
			}
		}
		return out
	}
	want(t, "NewestVouchers", read(id(9), 100, 0), nil, []newest{{id(7), 1}, {id(6), 1}, {id(5), 3}, {id(4), 2}})
	want(t, "NewestVouchers limited", read(id(9), 2, 5), nil, []newest{{id(7), 1}, {id(6), 1}})
	want(t, "NewestVouchers of another device", read(id(8), 100, 0), nil, []newest{{id(8), 1}})
	want(t, "NewestVouchers of none", read(id(7), 100, 0), nil, nil)
	for _, c := range []struct {
		key    [32]byte
		device string
		want   bool
	}{
		{hash("key"), id(9), true}, {hash("another key"), id(9), true}, {hash("key"), id(8), true},
		{hash("another key"), id(8), false}, {hash("failed"), id(9), false}, {hash("open"), id(9), false}, {hash("key"), id(7), false},
	} {
		got, err := s.HadVoucher(t.Context(), masa.DefaultDomain, c.device, c.key)
		want(t, "HadVoucher", got, err, c.want)
	}
	got, err := s.HadVoucher(t.Context(), "other", id(9), hash("key"))
	want(t, "HadVoucher in another domain", got, err, false)
}
