package registrar_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// slots are those of a device, as text: versions with their states, the newest first.
func (h *house) slots(device string) string {
	h.t.Helper()
	view, err := h.service.Device(h.t.Context(), "", device)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, slot := range view.Slots {
		for _, v := range slot.Versions {
			out = append(out, fmt.Sprintf("%d %s", v.Version, v.State))
		}
	}
	return strings.Join(out, ", ")
}

// M08; R26: one credential a slot counts once the new one was seen in use, and the view says which, and since when.
func TestASlotShowsWhichVersionIsInUseAndWhenTheOthersWereRetired(t *testing.T) {
	h := newHouse(t, nil)
	old, key := h.enrolled("sensor-7")
	say := func(what, want string) {
		t.Helper()
		if got := h.slots("sensor-7"); got != want {
			t.Errorf("%s: slots are %q, want %q", what, got, want)
		}
	}
	say("enrolled", "1 current")
	h.advance(time.Second)
	fresh := h.renew(old).mustSend()
	say("renewed", "2 waiting, 1 current")
	h.advance(time.Hour)
	used := h.now()
	next := h.renew(fresh).mustSend() // with which the new one was used
	say("used", "3 waiting, 2 current, 1 retired")

	view, err := h.service.Device(t.Context(), "", "sensor-7")
	if err != nil || len(view.Slots) != 1 {
		t.Fatalf("Device: %d slots, %v", len(view.Slots), err)
	}
	v := view.Slots[0].Versions
	if v[1].Renews != 1 || !v[1].ConfirmedAt.Equal(used) || !v[2].RetiredAt.Equal(used) || !v[0].ConfirmedAt.IsZero() || v[0].Renews != 2 {
		t.Errorf("versions are %+v, %+v, %+v; want 2 confirmed and 1 retired at %s", v[0], v[1], v[2], used)
	}

	// The old one authenticates nothing: neither a renewal nor an enrollment nor a baseline.
	h.renew(old).refusedAs(registrar.ReasonSuperseded, http.StatusForbidden)
	again := h.enroll("sensor-7").cert(old).withKey(key)
	again.csr.DNSNames = old.DNSNames
	again.refusedAs(registrar.ReasonSuperseded, http.StatusForbidden)
	call := &registrar.BaselineCall{ID: "b", Peer: h.renew(old).peer, At: h.now()}
	_, err = h.service.Baseline(t.Context(), call, 0)
	refusal(t, err, registrar.ReasonSuperseded, http.StatusForbidden)

	// A version that never was used goes with the one that it renewed.
	h.advance(time.Minute)
	third := h.renew(fresh).withKey(testpki.NewKey(t)).mustSend()
	h.advance(time.Hour)
	h.renew(third).mustSend()
	h.renew(next).refusedAs(registrar.ReasonSuperseded, http.StatusForbidden)
	view, err = h.service.Device(t.Context(), "", "sensor-7")
	if err != nil {
		t.Fatal(err)
	}
	say("another was used", "5 waiting, 4 current, 3 retired, 2 retired, 1 retired")
	if unused := view.Slots[0].Versions[2]; !unused.ConfirmedAt.IsZero() {
		t.Errorf("a version that nobody used was confirmed at %s", unused.ConfirmedAt)
	}
}

func TestEachNameAndProfileOfADeviceHasASlotOfItsOwn(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	row := func(id, profile string, names byte, change func(c *registrar.Certificate)) *registrar.Certificate {
		c := &registrar.Certificate{
			ID: id, Profile: profile, NamesHash: [32]byte{names}, Raw: []byte(id), Status: registrar.Issued,
			Operation: "simpleenroll", Credential: "basic:x", NotAfter: at.Add(time.Hour),
		}
		if change != nil {
			change(c)
		}
		return c
	}
	slots := registrar.Slots([]*registrar.Certificate{
		row("1", "device", 1, func(c *registrar.Certificate) { c.NotAfter = at.Add(-time.Hour) }),
		row("2", "app", 1, nil),
		row("3", "device", 2, func(c *registrar.Certificate) { c.Status, c.RevokeReason = registrar.Revoked, 1 }),
		row("4", "device", 1, func(c *registrar.Certificate) { c.Status, c.RevokeReason = registrar.Revoked, registrar.ReasonHold }),
		row("5", "device", 3, func(c *registrar.Certificate) { c.Raw, c.Status = nil, registrar.Intended }),
	}, at)
	var got []string
	for _, s := range slots {
		text := s.Profile
		for _, v := range s.Versions {
			text += fmt.Sprintf(" %d:%s", v.Version, v.State)
		}
		got = append(got, text)
	}
	if want := "device 2:on-hold 1:expired; app 1:current; device 1:revoked"; strings.Join(got, "; ") != want {
		t.Errorf("Slots = %q, want %q", strings.Join(got, "; "), want)
	}
}
