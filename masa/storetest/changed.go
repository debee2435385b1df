package storetest

import (
	"testing"

	"github.com/briskest/briskest/masa"
)

// testChanged reads before and after each change, as a store that keeps rows
// must not answer with those of before, nor with what a caller made of them.
func testChanged(t *testing.T, s masa.Store) {
	ctx := t.Context()
	d := device(1)
	d.State, d.Reason = masa.Known, ""
	read := func(devices, owners int, state masa.DeviceState) {
		t.Helper()
		found, err := s.FindDevices(ctx, d.Domain, d.SerialNumber)
		if err != nil || len(found) != devices {
			t.Fatalf("FindDevices = %d rows, %v; want %d", len(found), err, devices)
		}
		for _, f := range found {
			if f.State != state {
				t.Errorf("the device is %s, want %s", f.State, state)
			}
			f.State = "changed by the caller"
		}
		had, err := s.Owners(ctx, d.Domain, d.ID)
		if err != nil || len(had) != owners {
			t.Errorf("Owners = %d rows, %v; want %d", len(had), err, owners)
		}
	}
	read(0, 0, "")
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{d}})
	read(1, 0, masa.Known)
	read(1, 0, masa.Known)
	blocked := *d
	blocked.State = masa.Blocked
	commit(t, s, &masa.Change{PutDevices: []*masa.Device{&blocked}, PutOwners: []*masa.Owner{
		{ID: id(2), Domain: d.Domain, DeviceID: d.ID, Name: "buyer", Since: d.CreatedAt},
	}})
	read(1, 1, masa.Blocked)
	wantConflict(t, s, "the outcome of nothing", &masa.Change{
		PutDevices: []*masa.Device{d}, Issued: []*masa.VoucherRecord{record(9, 1, "nonce-9")},
	})
	read(1, 1, masa.Blocked)
}

// testOnlyVoucher reads a device's vouchers after each step of its first and its
// second one.
func testOnlyVoucher(t *testing.T, s masa.Store) {
	read := func(after string, rows ...*masa.VoucherRecord) {
		t.Helper()
		for range 2 {
			got, err := s.DeviceVouchers(t.Context(), masa.DefaultDomain, id(9), 17)
			want(t, "DeviceVouchers after "+after, len(got), err, len(rows))
			for i := range got {
				bare := issued(rows[i])
				bare.Request, bare.Voucher = nil, nil
				want(t, "DeviceVouchers after "+after, got[i], nil, bare)
				got[i].Nonce = "changed by the caller"
			}
		}
	}
	first, second := record(1, 9, "nonce-1"), record(2, 9, "nonce-2")
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{first}})
	read("the intent")
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(first)}})
	read("the first voucher", first)
	wantConflict(t, s, "its nonce again", &masa.Change{Intents: []*masa.VoucherRecord{record(3, 9, "nonce-1")}})
	read("a conflict", first)
	failed := *second
	failed.State = masa.Failed
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{second}})
	read("the second intent", first)
	commit(t, s, &masa.Change{Failed: []*masa.VoucherRecord{&failed}})
	read("its failure", first)
	commit(t, s, &masa.Change{Intents: []*masa.VoucherRecord{second}})
	commit(t, s, &masa.Change{Issued: []*masa.VoucherRecord{issued(second)}})
	read("the second voucher", second, first)
}
