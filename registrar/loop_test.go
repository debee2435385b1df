package registrar_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// R18: a client that enrolls in a loop for an hour gets its budget and then refusals, and fills neither the database
// nor the trail; others are served meanwhile.
func TestAClientThatEnrollsInALoopForAnHourFillsNothing(t *testing.T) {
	const perDevice, perAddress, every = 8, 400, 2 * time.Second
	for what, loop := range map[string]struct {
		one          func(h *house, n int) *request
		certificates int
	}{
		"one name, new keys": {func(h *house, _ int) *request { return h.enroll(alone).basic(alone) }, perDevice},
		"many names of a group": {func(h *house, n int) *request { return h.enroll(fmt.Sprint("sensor-", n)).basic(group) },
			perAddress},
		"one name, many addresses": {func(h *house, n int) *request {
			r := h.enroll(alone).basic(alone)
			r.peer.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 4711)
			return r
		}, perDevice},
		"without credentials": {func(h *house, n int) *request { return h.enroll(fmt.Sprint("sensor-", n)) }, 0},
	} {
		h := newHouse(t, func(h *house) {
			h.settings.Limits.EnrollmentsPerDevice, h.settings.Limits.EnrollmentsPerAddress = perDevice, perAddress
		})
		h.reprofileAllowingOtherKeys()
		before := len(h.all())
		statuses := map[int]int{}
		for n := range int(time.Hour / every) {
			r := loop.one(h, n)
			_, err := r.send()
			var e *est.Error
			if errors.As(err, &e) {
				statuses[e.Status]++
				if e.Status == 503 && e.RetryAfter <= 0 {
					t.Fatalf("%s: a budget's refusal has no Retry-After", what)
				}
				h.service.Refused(t.Context(), &est.Request{ID: "q", Operation: r.op, Peer: r.peer, At: h.now()}, e)
			}
			h.advance(every)
		}
		other := h.enroll("other").basic(group)
		other.peer.Address = netip.MustParseAddrPort("203.0.113.1:4711")
		other.mustSend()
		h.service.Close() // writes what is queued
		issued, entries := len(h.certificates("")), len(h.all())-before
		t.Logf("%s: %d certificates, %d entries of the trail, refusals by status %v", what, issued-1, entries, statuses)
		// The budget by address slides: up to twice of it in the first hour's two windows.
		if issued-1 > 2*loop.certificates || issued-1 < loop.certificates/2 {
			t.Errorf("%s: %d certificates, want some %d", what, issued-1, loop.certificates)
		}
		if most := issued + 60*21; entries > most { // 20 and one a minute for the refusals
			t.Errorf("%s: the trail grew by %d entries, want %d at most", what, entries, most)
		}
		if rows, err := h.service.ListPending(t.Context(), "", "", 0); err != nil || len(rows) != 0 {
			t.Errorf("%s: %d requests wait, %v", what, len(rows), err)
		}
	}
}

// all returns the whole trail.
func (h *house) all() []string {
	h.t.Helper()
	entries, err := h.store.TrailEntries(h.t.Context(), registrar.DefaultDomain, "", 0, 100000)
	check(h.t, err)
	kinds := make([]string, len(entries))
	for i, e := range entries {
		kinds[i] = e.Kind
	}
	return kinds
}
