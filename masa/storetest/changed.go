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
