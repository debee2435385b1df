package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/registrar"
)

func counts(t *testing.T, s registrar.Store, what string, expected int) {
	t.Helper()
	got, err := s.CountDevices(t.Context(), registrar.DefaultDomain)
	want(t, "CountDevices, "+what, got, err, expected)
}

func wantFull(t *testing.T, s registrar.Store, what string, c *registrar.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); !errors.Is(err, registrar.ErrFull) {
		t.Errorf("Commit of %s: %v, want ErrFull", what, err)
	}
}

func testCountDevices(t *testing.T, s registrar.Store) {
	counts(t, s, "of nothing", 0)
	many := &registrar.Change{}
	for n := range 40 {
		many.AddDevices = append(many.AddDevices, device(n))
	}
	other, server := device(50), device(51)
	other.Domain, server.Source = "other", "responder"
	many.PutDevices = []*registrar.Device{device(60), server, other}
	commit(t, s, many)
	counts(t, s, "once there are some, one of another domain and one of the registrar's own", 41)
	wantConflict(t, s, "a device that is there", &registrar.Change{AddDevices: []*registrar.Device{device(70), device(3)}})
	counts(t, s, "after a conflict", 41)

	gone, seen, details := device(1), device(2), device(4)
	gone.State = registrar.Decommissioned
	seen.State, seen.SeenAt = registrar.Enrolled, at(7)
	details.Model = "X"
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{gone, seen, details}})
	counts(t, s, "after one left", 40)
	gone.Model = "Y"
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{gone}})
	counts(t, s, "after one that left was changed", 40)
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{device(1)}})
	counts(t, s, "after it came back", 41)
}

func testDeviceQuota(t *testing.T, s registrar.Store) {
	quota := &registrar.DeviceQuota{Domain: registrar.DefaultDomain, Devices: 3}
	commit(t, s, &registrar.Change{Quota: quota, AddDevices: []*registrar.Device{device(1), device(2)}})
	wantFull(t, s, "two where there is room for one", &registrar.Change{Quota: quota, AddDevices: []*registrar.Device{device(3), device(4)}})
	counts(t, s, "after they were refused", 2)
	commit(t, s, &registrar.Change{Quota: quota, PutDevices: []*registrar.Device{device(3)}})
	wantFull(t, s, "one more", &registrar.Change{Quota: quota, PutDevices: []*registrar.Device{device(4)}})

	gone := device(1)
	gone.State = registrar.Decommissioned
	commit(t, s, &registrar.Change{Quota: quota, PutDevices: []*registrar.Device{gone}})
	commit(t, s, &registrar.Change{Quota: quota, PutDevices: []*registrar.Device{device(4)}})
	wantFull(t, s, "one that comes back", &registrar.Change{Quota: quota, PutDevices: []*registrar.Device{device(1)}})

	less := &registrar.DeviceQuota{Domain: registrar.DefaultDomain, Devices: 1}
	changed := device(2)
	changed.State = registrar.Enrolled
	commit(t, s, &registrar.Change{Quota: less, PutDevices: []*registrar.Device{changed}})
	other := device(5)
	other.Domain = "other"
	commit(t, s, &registrar.Change{Quota: &registrar.DeviceQuota{Domain: "other", Devices: 1}, PutDevices: []*registrar.Device{other}})
}

// Each of many writers looks at the count that the others left.
func testDeviceQuotaAtOnce(t *testing.T, s registrar.Store) {
	const room = 5
	var wg sync.WaitGroup
	var came atomic.Int64
	for n := range 3 * room {
		wg.Go(func() {
			err := s.Commit(t.Context(), &registrar.Change{
				Quota:      &registrar.DeviceQuota{Domain: registrar.DefaultDomain, Devices: room},
				PutDevices: []*registrar.Device{device(n)},
			})
			switch {
			case err == nil:
				came.Add(1)
			case !errors.Is(err, registrar.ErrFull):
				t.Errorf("Commit: %v", err)
			}
		})
	}
	wg.Wait()
	if came.Load() != room {
		t.Errorf("%d devices came, want %d", came.Load(), room)
	}
	counts(t, s, "at the end", room)
}
