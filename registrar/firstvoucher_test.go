package registrar_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// exchangesCannotBeRead has every look for a device's exchanges fail.
func (h *house) exchangesCannotBeRead(t *testing.T, then func(what string)) {
	t.Helper()
	for _, call := range []string{"VoucherByRequest", "VoucherByNonce", "ListVouchers"} {
		h.reads.failing(call)
		then(call)
	}
	h.reads.failing("")
}

// What a device asks for first costs no look for what it asked before: its
// inventory record says that it was never here.
func TestAFirstRequestIsAnsweredWithoutALookForEarlierOnes(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("VoucherByRequest", "VoucherByNonce", "ListVouchers")
	idevid := h.idevidCA.IDevID(t, "VoucherByRequest", "")
	h.exchangesCannotBeRead(t, func(call string) {
		device := idevid
		if call != "VoucherByRequest" {
			device = h.idevidCA.IDevID(t, call, "")
		}
		if _, err := h.pledge(device, nil).send(); err != nil {
			t.Errorf("%s is not to be called: %v", call, err)
		}
	})
	again := h.pledge(idevid, nil)
	h.exchangesCannotBeRead(t, func(call string) {
		if call == "ListVouchers" {
			return // only where the audit-log has entries of ours
		}
		again.refusedAs(registrar.ReasonStore, 503)
	})
}

// An inventory record that says "never here" is not what keeps a nonce from
// being answered twice, and a request from being two exchanges: the record is.
func TestExchangesThatTheInventoryDoesNotKnowOfCountAllTheSame(t *testing.T) {
	for what, known := range map[string]func(row *registrar.VoucherRecord, a *ask){
		"nonce": func(row *registrar.VoucherRecord, a *ask) { row.Nonce = a.q.Nonce },
		"bytes": func(row *registrar.VoucherRecord, a *ask) { row.RequestHash = sha256.Sum256(a.raw) },
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t, nil)
			h.importSerials("SN-1")
			a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
			h.unnoticed(t, a, known)
			if what == "nonce" {
				a.refusedAs(registrar.ReasonNonceUsed, 403)
			} else {
				a.refusedAs(registrar.ReasonMASARefused, 403) // as the record says
			}
			if n := h.masa.count(); n != 0 {
				t.Errorf("the MASA was asked %d times", n)
			}
		})
	}
}

// unnoticed puts an exchange on record that the device's inventory record does not tell of.
func (h *house) unnoticed(t *testing.T, a *ask, known func(row *registrar.VoucherRecord, a *ask)) {
	t.Helper()
	device, err := h.store.DeviceBySerialNumber(t.Context(), registrar.DefaultDomain, "acme", a.q.SerialNumber)
	if err != nil || !device.SeenAt.IsZero() {
		t.Fatalf("on record: %+v, %v", device, err)
	}
	row := &registrar.VoucherRecord{
		ID: registrar.NewID(h.now()), Domain: device.Domain, DeviceID: device.ID, Manufacturer: "acme", SerialNumber: a.q.SerialNumber,
		Nonce: "other", State: "refused", Reason: registrar.ReasonMASARefused, At: h.now(), RequestHash: [32]byte{1},
	}
	known(row, a)
	if err := h.store.Commit(t.Context(), &registrar.Change{PutVouchers: []*registrar.VoucherRecord{row}}); err != nil {
		t.Fatal(err)
	}
}

// The count of other networks' entries on the trail is that of the audit-log.
func TestTheTrailCountsOtherNetworksEntries(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].AuditLog.UnknownDomain = registrar.AuditAllow })
	h.importSerials("SN-1", "SN-2")
	ours := base64.StdEncoding.EncodeToString(voucher.DomainID(h.root.Certificate))
	h.masa.set(func(m *fakeMASA) {
		m.history = []brski.AuditEvent{entry(strangersDomain, "n1"), entry(ours, "n2"), entry(strangersDomain, "n3")}
	})
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).send(); err != nil {
		t.Fatal(err)
	}
	h.masa.set(func(m *fakeMASA) { m.history = nil })
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-2", ""), nil).send(); err != nil {
		t.Fatal(err)
	}
	entries := h.entries(registrar.KindVoucherIssued)
	if len(entries) != 2 {
		t.Fatalf("on the trail: %d vouchers", len(entries))
	}
	for i, want := range []string{`"other_domains":2`, `"other_domains":0`} {
		if !strings.Contains(string(entries[i].Body), want) {
			t.Errorf("on the trail: %s, want %s", entries[i].Body, want)
		}
	}
}
