package registrar_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// M49: who else has this key, this firmware, this issuer.
func TestWhatADeviceHasInCommonIsFoundWithWhoElseHasIt(t *testing.T) {
	h := newHouse(t, nil)
	_, key := h.enrolled("sensor-1")
	h.enroll("sensor-2").basic(group).withKey(key).mustSend()
	h.enrolled("sensor-3")
	for serial, firmware := range map[string]string{"sensor-1": "1.2.3", "sensor-3": "1.2.3", "sensor-2": "2.0"} {
		view, err := h.service.Device(t.Context(), "", serial)
		if err != nil {
			t.Fatal(err)
		}
		d := *view.Device
		d.Firmware = firmware
		if err := h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{&d}}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := h.service.Related(t.Context(), "", "sensor-1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*registrar.Commonality{}
	for _, c := range all {
		got[c.Of] = c
	}
	for of, want := range map[string]struct {
		devices int
		others  []string
	}{
		"key": {2, []string{"sensor-2"}}, "firmware": {2, []string{"sensor-3"}}, "issuer": {3, []string{"sensor-2", "sensor-3"}},
		"credential": {3, []string{"sensor-2", "sensor-3"}},
	} {
		c := got[of]
		if c == nil {
			t.Errorf("%s is not there", of)
			continue
		}
		slices.Sort(c.Serials)
		if c.Devices != want.devices || !slices.Equal(c.Serials, want.others) {
			t.Errorf("%s: %d devices, others %v; want %d, %v", of, c.Devices, c.Serials, want.devices, want.others)
		}
	}
	if _, err := h.service.Related(t.Context(), "other", "sensor-1"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("of another domain: error %v, want ErrNotFound", err)
	}
}
