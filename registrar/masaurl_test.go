package registrar_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
)

// RFC 8995, Section 5.4: the MASA that is asked is the one that the device's own
// IDevID names, whatever others named before.
func TestEachDevicesOwnMASAIsAsked(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].MASAURL = ""
		h.settings.DialMASA = func(_ *registrar.Manufacturer, url string) (brski.MASA, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, url)
			return h.masa, nil
		}
	})
	h.importSerials("SN-1", "SN-2", "SN-3", "SN-4", "SN-5")
	for serial, named := range map[string]string{
		"SN-1": "https://one.example/a", "SN-2": "https://two.example/a", "SN-3": "https://one.example/a", "SN-4": "http://one.example/a", "SN-5": "http://one.example/a",
	} {
		a := h.pledge(h.idevidCA.IDevID(t, serial, named), nil)
		if named[:5] == "http:" {
			a.refusedAs(registrar.ReasonMASAURL, 502)
		} else if _, err := a.send(); err != nil {
			t.Errorf("%s: %v", serial, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(asked)
	if want := []string{"https://one.example/a", "https://one.example/a", "https://two.example/a"}; !slices.Equal(asked, want) {
		t.Errorf("asked: %q, want %q", asked, want)
	}
}
