package registrar_test

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// place puts devices into quarantine.
func (h *house) place(kind registrar.QuarantineKind, manufacturer, value string) *registrar.QuarantineResult {
	h.t.Helper()
	out, err := h.service.Quarantine(h.t.Context(), &registrar.QuarantineRequest{Actor: "ann", Kind: kind, Manufacturer: manufacturer, Value: value, Reason: "recall"})
	if err != nil {
		h.t.Fatalf("Quarantine of %s %q: %v", kind, value, err)
	}
	return out
}

func (h *house) lift(id string) {
	h.t.Helper()
	if _, err := h.service.LiftQuarantine(h.t.Context(), &registrar.Lifting{Actor: "ann", ID: id, Reason: "mended"}); err != nil {
		h.t.Fatal(err)
	}
}

// M49: one call takes effect on the next request of any kind, and what it bars is
// what has it in common, on record or not.
func TestAQuarantineBarsFromTheNextRequestOnUntilItIsLifted(t *testing.T) {
	h := newHouse(t, nil)
	const credential = group
	cert, key := h.enrolled("sensor-7")
	other, _ := h.enrolled("sensor-8")
	view, err := h.service.Device(t.Context(), "", "sensor-7")
	if err != nil {
		t.Fatal(err)
	}
	changed := *view.Device
	changed.Model, changed.Batch, changed.Firmware = "X1", "B7", "1.2.3"
	group := &registrar.Regrouping{Domain: changed.Domain, DeviceID: changed.ID, Group: "pumps", Pinned: true}
	if err := h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{&changed}, Regroup: []*registrar.Regrouping{group}}); err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		kind  registrar.QuarantineKind
		value string
	}{
		{registrar.QuarantineDevice, "sensor-7"}, {registrar.QuarantineGroup, "pumps"}, {registrar.QuarantineModel, "X1"},
		{registrar.QuarantineBatch, "B7"}, {registrar.QuarantineFirmware, "1.2.3"},
	} {
		q := h.place(of.kind, "", of.value)
		if q.Devices != 1 {
			t.Errorf("%s: it is about %d devices, want 1", of.kind, q.Devices)
		}
		h.renew(cert).refusedAs(registrar.ReasonQuarantined, 403)
		h.enroll("sensor-7").basic(credential).withKey(key).refusedAs(registrar.ReasonQuarantined, 403)
		other = h.renew(other).mustSend()
		h.lift(q.Quarantine.ID)
		cert = h.renew(cert).mustSend()
	}
}

func TestAQuarantineOfAManufacturerBarsDevicesThatNobodyHasSeen(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit })
	idevid := h.idevidCA.IDevID(t, "W-1", "")
	q := h.place(registrar.QuarantineManufacturer, "", "acme")
	h.pledge(idevid, nil).refusedAs(registrar.ReasonQuarantined, 403)
	h.lift(q.Quarantine.ID)
	if _, err := h.pledge(idevid, nil).send(); err != nil {
		t.Error(err)
	}
}

func TestAQuarantineOutlivesARestartAndIsPlacedOnce(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	first := h.place(registrar.QuarantineDevice, "", "sensor-7")
	if again := h.place(registrar.QuarantineDevice, "", "sensor-7"); again.Quarantine.ID != first.Quarantine.ID {
		t.Errorf("placed again it is %s, was %s", again.Quarantine.ID, first.Quarantine.ID)
	}
	h.start()
	h.renew(cert).refusedAs(registrar.ReasonQuarantined, 403)
	h.lift(first.Quarantine.ID)
	h.start()
	h.renew(cert).mustSend()
	all, err := h.service.Quarantines(t.Context(), "", true)
	if err != nil || len(all) != 1 || all[0].LiftedBy != "ann" {
		t.Errorf("Quarantines are %+v, %v", all, err)
	}
}

func TestADryRunOfAQuarantineCountsAndBarsNobody(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	out, err := h.service.Quarantine(t.Context(), &registrar.QuarantineRequest{Kind: registrar.QuarantineDevice, Value: "sensor-7", DryRun: true})
	if err != nil || out.Devices != 1 {
		t.Fatalf("Quarantine: %+v, %v", out, err)
	}
	h.renew(cert).mustSend()
}

func TestAQuarantineOfNothingIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, r := range []registrar.QuarantineRequest{
		{Kind: registrar.QuarantineBatch}, {Kind: "odd", Value: "x"}, {Kind: registrar.QuarantineGroup, Manufacturer: "acme", Value: "x"},
	} {
		if _, err := h.service.Quarantine(t.Context(), &r); !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("%+v: error %v, want ErrInvalid", r, err)
		}
	}
	for _, r := range []registrar.QuarantineRequest{
		{Kind: registrar.QuarantineManufacturer, Value: "nobody"}, {Kind: registrar.QuarantineDevice, Value: "nobody"},
		{Kind: registrar.QuarantineBatch, Manufacturer: "nobody", Value: "B7"}, {Domain: "other", Kind: registrar.QuarantineBatch, Value: "B7"},
	} {
		if _, err := h.service.Quarantine(t.Context(), &r); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("%+v: error %v, want ErrNotFound", r, err)
		}
	}
}
