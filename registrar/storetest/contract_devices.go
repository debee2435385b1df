package storetest

import (
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

// detailed is a device of which everything is known.
func detailed(n int) *registrar.Device {
	d := device(n)
	d.Model, d.Firmware, d.Batch = "m-1", "4.2", "2026-11"
	d.HardwareModule, d.SecureElement, d.TPM = "1.3.6.1.4.1.9.21.1:0001", "se-1", "00ff"
	d.Attributes = map[string]string{"site": "north", "a": "\"<>&\u2028", "": ""}
	d.Group, d.GroupPinned = "pumps", true
	return d
}

// Every change of a device leaves what it does not name as it was, and a store
// that covers rows with a trail still vouches for them (the store's own tests look).
func testDeviceDetails(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	put := func(what string, d *registrar.Device) {
		t.Helper()
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
		got, err := s.Device(ctx, domain, d.ID)
		want(t, what, got, err, d)
		got, err = s.DeviceBySerialNumber(ctx, domain, d.Manufacturer, d.SerialNumber)
		want(t, what+", by serial number", got, err, d)
	}
	d := detailed(1)
	put("a new device", d)
	moved := detailed(1)
	moved.State, moved.SeenAt = registrar.Enrolled, at(7)
	put("a device in another state", moved)
	changed := *moved
	changed.Firmware, changed.Attributes = "4.3", map[string]string{"site": "south"}
	put("a device with other firmware", &changed)
	with := changed
	with.IDevID = []byte{0x30, 1, 1}
	put("a device with another IDevID", &with)
	without := with
	without.IDevID, without.Attributes = nil, nil
	put("a device without IDevID", &without)
	again := without
	again.IDevID = []byte{0x30, 2, 2, 2}
	put("a device with an IDevID again", &again)
	plain := device(2)
	plain.SeenAt = time.Time{}
	put("a device of which nothing is known", plain)
	known := detailed(2)
	known.Group, known.GroupPinned = "", false // only a move changes these
	put("a device of which all is known since", known)
	bare := device(2)
	put("a device of which nothing is known any more", bare)
	all, err := s.ListDevices(ctx, domain, "", 10)
	want(t, "ListDevices", all, err, []*registrar.Device{&again, bare})
}
