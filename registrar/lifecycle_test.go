package registrar_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/registrar"
)

// M44: one call that revokes, is on the trail for others to be told, and leaves a receipt.
func TestADecommissionedDeviceHasNothingLeftAndAReceiptSaysSo(t *testing.T) {
	h := newHouse(t, nil)
	first, _ := h.enrolled("sensor-7")
	second := h.renew(first).mustSend()
	out, err := h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "ann", Device: "sensor-7", Reason: "sold", To: "Hill Ltd"})
	if err != nil {
		t.Fatal(err)
	}
	h.renew(second).refusedAs(registrar.ReasonRevoked, 403)
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonDeviceDecommissioned, 403)

	text := openReceipt(t, h, out.Signed)
	if text.SerialNumber != "sensor-7" || text.TransferredTo != "Hill Ltd" || text.By != "ann" || len(text.Certificates) != 2 {
		t.Errorf("the receipt says %+v", text)
	}
	for _, c := range text.Certificates {
		if c.Status != "revoked" || c.RevokedAt == nil {
			t.Errorf("the receipt lists %+v", c)
		}
	}
	if revoked, told := len(h.entries(registrar.KindCertificateRevoked)), len(h.entries(registrar.KindReceipt)); revoked == 0 || told != 1 {
		t.Errorf("the trail has %d revocations and %d receipts", revoked, told)
	}
}

func openReceipt(t *testing.T, h *house, signed []byte) *registrar.ReceiptText {
	t.Helper()
	m, err := jws.Parse(signed, jws.Limits{Bytes: 1 << 16, Signatures: 1, Certificates: 4})
	if err != nil {
		t.Fatalf("the receipt: %v", err)
	}
	if err := m.Signatures[0].Verify(h.registrar.Certificate.PublicKey); err != nil {
		t.Fatalf("the receipt's signature: %v", err)
	}
	var text registrar.ReceiptText
	if err := json.Unmarshal(m.Payload, &text); err != nil {
		t.Fatal(err)
	}
	return &text
}

func TestADecommissionedDeviceComesBackByNameOnly(t *testing.T) {
	h := newHouse(t, nil)
	idevid := h.vouched("W-1")
	if _, err := h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "ann", Device: "W-1"}); err != nil {
		t.Fatal(err)
	}
	h.importSerials("W-1") // the next delivery note has it too
	h.pledge(idevid, nil).refusedAs(registrar.ReasonDeviceDecommissioned, 403)
	if _, err := h.service.Resume(t.Context(), &registrar.StateChange{Actor: "ann", Device: "W-1"}); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("Resume: error %v, want ErrConflict", err)
	}
	d, err := h.service.Readmit(t.Context(), &registrar.StateChange{Actor: "ann", Device: "W-1", Reason: "repaired"})
	if err != nil || d.State != registrar.Expected {
		t.Fatalf("Readmit: %+v, %v", d, err)
	}
	if _, err := h.pledge(idevid, nil).send(); err != nil {
		t.Errorf("the readmitted device: %v", err)
	}
}

func TestAResumedDeviceIsWhatItWasBefore(t *testing.T) {
	h := newHouse(t, nil)
	h.enrolled("sensor-7")
	h.vouched("W-1")
	h.importSerials("W-2")
	for serial, want := range map[string]registrar.DeviceState{"sensor-7": registrar.Enrolled, "W-1": registrar.Vouched, "W-2": registrar.Expected} {
		r := &registrar.StateChange{Actor: "ann", Device: serial}
		if d, err := h.service.Suspend(t.Context(), r); err != nil || d.State != registrar.Suspended {
			t.Fatalf("Suspend %s: %+v, %v", serial, d, err)
		}
		if d, err := h.service.Resume(t.Context(), r); err != nil || d.State != want {
			t.Errorf("Resume %s: %+v, %v; want %s", serial, d, err, want)
		}
		entries := len(h.entries(registrar.KindDeviceState))
		if d, err := h.service.Resume(t.Context(), r); err != nil || d.State != want || len(h.entries(registrar.KindDeviceState)) != entries {
			t.Errorf("Resume %s asked again after its answer was lost: %+v, %v; want %s and nothing new on the trail", serial, d, err, want)
		}
		if _, err := h.service.Readmit(t.Context(), r); !errors.Is(err, registrar.ErrConflict) {
			t.Errorf("Readmit %s: error %v, want ErrConflict", serial, err)
		}
	}
}
