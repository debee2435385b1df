package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// walked lists the devices in the order of the walk.
func walked(t *testing.T, s registrar.Store, facts registrar.DeviceFacts) []*registrar.Device {
	t.Helper()
	var all []*registrar.Device
	var calling atomic.Bool
	err := s.WalkDevices(t.Context(), &registrar.DeviceWalk{Domain: registrar.DefaultDomain, Facts: facts, Look: func(page []*registrar.Device) func() error {
		return func() error {
			if !calling.CompareAndSwap(false, true) {
				t.Error("two pages' thens at once")
			}
			defer calling.Store(false)
			all = append(all, page...)
			return nil
		}
	}})
	if err != nil {
		t.Fatalf("WalkDevices: %v", err)
	}
	return all
}

// Rules decide on what a walk shows: what is missing would put devices elsewhere.
func testWalkDevices(t *testing.T, s registrar.Store) {
	if got := walked(t, s, 0); len(got) != 0 {
		t.Errorf("WalkDevices of nobody = %d devices", len(got))
	}
	fleet(t, s)
	more := &registrar.Change{}
	for n := range 200 {
		d := detailed(10_000 + n)
		d.SerialNumber, d.Group, d.GroupPinned = fmt.Sprintf("more-%05d", n), "pumps", n%3 == 0
		if n%7 == 0 {
			d.IDevID = nil
		}
		more.AddDevices = append(more.AddDevices, d)
	}
	commit(t, s, more)
	all, err := s.ListDevices(t.Context(), registrar.DefaultDomain, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	each := []registrar.DeviceFacts{
		registrar.FactIDevID, registrar.FactManufacturer, registrar.FactModel, registrar.FactFirmware, registrar.FactBatch,
		registrar.FactHardwareModule, registrar.FactSecureElement, registrar.FactTPM, registrar.FactSource, registrar.FactAttributes,
	}
	var every registrar.DeviceFacts
	for _, f := range each {
		every |= f
	}
	for _, facts := range append(each, 0, every, every&^registrar.FactIDevID, registrar.FactBatch|registrar.FactAttributes) {
		var expected []*registrar.Device
		for _, d := range all {
			expected = append(expected, facts.Only(d))
		}
		got := walked(t, s, facts)
		if again := walked(t, s, facts); !slices.EqualFunc(got, again, func(a, b *registrar.Device) bool { return a.ID == b.ID }) {
			t.Errorf("WalkDevices(%b) came in another order the second time", facts)
		}
		slices.SortFunc(got, byID)
		want(t, fmt.Sprintf("WalkDevices(%b)", facts), got, nil, expected)
	}
	last := detailed(9)
	last.ID, last.SerialNumber = id(900_000), "last"
	commit(t, s, &registrar.Change{AddDevices: []*registrar.Device{last}})
	if got := walked(t, s, 0); got[len(got)-1].SerialNumber != "last" {
		t.Errorf("the newest device is not the last but %s", got[len(got)-1].SerialNumber)
	}
}

// A walk that fails says so, and leaves nothing under way.
func testWalkEnds(t *testing.T, s registrar.Store) {
	fleet(t, s)
	broken := errors.New("broken")
	calls := 0
	err := s.WalkDevices(t.Context(), &registrar.DeviceWalk{Domain: registrar.DefaultDomain, Look: func([]*registrar.Device) func() error {
		return func() error { calls++; return broken }
	}})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("WalkDevices with a broken page: error %v after %d pages, want its own after the first", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.WalkDevices(ctx, &registrar.DeviceWalk{Domain: registrar.DefaultDomain, Look: func([]*registrar.Device) func() error { return func() error { return nil } }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("WalkDevices with a context that ended: %v", err)
	}
	// Who came while the walk was under way is shown as well.
	late, seen := detailed(9), false
	late.SerialNumber, late.ID = "late", id(900_000)
	err = s.WalkDevices(t.Context(), &registrar.DeviceWalk{Domain: registrar.DefaultDomain, Look: func(page []*registrar.Device) func() error {
		return func() error {
			if page[0].SerialNumber == "SN-000" {
				return s.Commit(t.Context(), &registrar.Change{AddDevices: []*registrar.Device{late}})
			}
			seen = seen || page[len(page)-1].SerialNumber == "late"
			return nil
		}
	}})
	if err != nil || !seen {
		t.Errorf("WalkDevices with a device that came meanwhile: seen %t, %v", seen, err)
	}
}
