package registrar_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/registrar"
)

// A CA that hangs has 16 outstanding issuances asked about at once, the rest in turn, and keeps none of another CA waiting.
func TestACAThatHangsIsAskedAboutSixteenOutstandingIssuancesAtOnce(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		other := newUpstream(t)
		other.h = h
		slow := &hangingUpstream{upstream: u, release: make(chan struct{})}
		with := func(first ca.Issuer) {
			s := *h.settings
			s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer, "upstream": first, "other": other}
			s.Labels = map[string]*registrar.Label{"other": {Profile: h.profile("device"), Basic: true, Issuer: "other"}}
			for name, l := range h.settings.Labels {
				s.Labels[name] = l
			}
			check(t, h.service.Reload(&s))
		}
		with(u)
		u.does(later(ca.ErrPending, 0, ""))
		other.does(later(ca.ErrPending, 0, ""))
		const many = 40
		for n := range many {
			h.enroll(fmt.Sprint("sensor-", n)).basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		}
		h.enroll("sensor-100").basic(group).label("other").refusedAs(registrar.ReasonIssuerPending, 202)
		with(slow)
		u.does(nil)
		other.does(nil)
		h.pass(5 * time.Minute)
		if n := slow.inside.Load(); n != 16 {
			t.Errorf("%d of %d are asked about at once, want 16", n, many)
		}
		issued := h.certificates(registrar.Issued)
		if len(issued) != 1 || issued[0].Issuer != "other" {
			t.Errorf("%d certificates while the CA hangs, want that of the other CA", len(issued))
		}
		close(slow.release)
		synctest.Wait()
		h.pass(time.Minute)
		if n := len(h.certificates(registrar.Issued)); n != many+1 {
			t.Errorf("%d certificates once it answers, want %d", n, many+1)
		}
		if n := slow.inside.Load(); n != many {
			t.Errorf("it was asked %d times for %d issuances", n, many)
		}
	})
}
