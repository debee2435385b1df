package inventory_test

import (
	"encoding/base64"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// What a check found is believed of the very same devices only.
func TestWhatWasCheckedIsNotBelievedOfAnotherDevice(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	good, foreign := h.idevid(t, "P-1", 0xca, 0xfe), other.idevid(t, "P-2")
	check := func(devices ...registrar.ImportDevice) *registrar.ImportRequest {
		r := &registrar.ImportRequest{Actor: "a", Manufacturer: "acme", Devices: devices, DryRun: true}
		out, err := h.service.ImportDevices(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r.DryRun, r.Checked = false, out.Checked
		return r
	}
	for what, change := range map[string]func(r *registrar.ImportRequest){
		"another IDevID":          func(r *registrar.ImportRequest) { r.Devices[0].IDevID = foreign },
		"another serial number":   func(r *registrar.ImportRequest) { r.Devices[0].SerialNumber = "P-9" },
		"another hardware module": func(r *registrar.ImportRequest) { r.Devices[0].HardwareModule = "1.2:ff" },
		"another row's facts": func(r *registrar.ImportRequest) {
			r.Devices = append(r.Devices, registrar.ImportDevice{IDevID: foreign})
		},
		"facts that were changed": func(r *registrar.ImportRequest) { r.Devices[0].IDevID, r.Checked[len(r.Checked)-1] = foreign, 0 },
		"facts that were cut":     func(r *registrar.ImportRequest) { r.Devices[0].IDevID, r.Checked = foreign, r.Checked[:32] },
		"nothing of the facts":    func(r *registrar.ImportRequest) { r.Devices[0].IDevID, r.Checked = foreign, []byte{1} },
	} {
		r := check(registrar.ImportDevice{SerialNumber: "P-1", IDevID: good})
		change(r)
		if out, err := h.service.ImportDevices(t.Context(), r); err == nil {
			t.Errorf("%s was imported: %+v", what, out)
		}
	}
	r := check(registrar.ImportDevice{IDevID: good}, registrar.ImportDevice{SerialNumber: "P-3"})
	if out, err := h.service.ImportDevices(t.Context(), r); err != nil || out.Added != 2 {
		t.Fatalf("what was checked is not imported: %+v, %v", out, err)
	}
	if d := h.devices(t)["P-1"]; d == nil || d.HardwareModule != "1.3.6.1.4.1.99.7:cafe" {
		t.Errorf("the device is not on record as its IDevID says: %+v of %s", d, base64.StdEncoding.EncodeToString(good))
	}
}
