package storetest

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
)

func testDeviceOwner(t *testing.T, s registrar.Store) {
	d := device(1)
	if _, err := s.DeviceOwner(t.Context(), d.Domain, d.ID); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("DeviceOwner of a device without: error %v, want ErrNotFound", err)
	}
	for _, owner := range []string{"hotel", "school", ""} {
		o := &registrar.DeviceOwner{Domain: d.Domain, DeviceID: d.ID, Owner: owner}
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}, PutOwners: []*registrar.DeviceOwner{o}})
		got, err := s.DeviceOwner(t.Context(), d.Domain, d.ID)
		want(t, "DeviceOwner", got, err, o)
	}
	if _, err := s.DeviceOwner(t.Context(), "other", d.ID); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("DeviceOwner in another domain: error %v, want ErrNotFound", err)
	}
}
