package registrar_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// silent does not know its CA's chain while away is set.
type silent struct {
	*upstream
	away atomic.Bool
}

func (s *silent) Chain(ctx context.Context) ([]*x509.Certificate, error) {
	if s.away.Load() {
		return nil, fmt.Errorf("%w: nobody answers", ca.ErrUnavailable)
	}
	return s.upstream.Chain(ctx)
}

// One CA that cannot be asked for its certificates takes nothing down but itself, neither at the start nor at a reload,
// and is there once it answers.
func TestACAThatDoesNotAnswerAtTheStartTakesNobodyDown(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		own := &silent{upstream: u}
		h.settings.Issuers["upstream"] = own
		check(t, h.service.Reload(h.settings))
		key := testpki.NewKey(t)
		cert := h.enroll("sensor-1").basic(group).withKey(key).mustSend()
		u.does(later(ca.ErrPending, 0, ""))
		waits := testpki.NewKey(t)
		h.enroll("sensor-2").basic(group).withKey(waits).refusedAs(registrar.ReasonIssuerPending, 202)
		u.does(nil)

		own.away.Store(true)
		check(t, h.service.Reload(h.settings)) // the same CA: it is as it was
		h.renew(cert).withKey(key).mustSend()

		h.restart()
		before, _ := u.requests()
		h.enroll("sensor-3").basic(group).label("here").mustSend()
		if e := h.enroll("sensor-4").basic(group).refusedAs(registrar.ReasonIssuerDown, 503); e.RetryAfter <= 0 {
			t.Error("503 without Retry-After")
		}
		h.enroll("sensor-2").basic(group).withKey(waits).refusedAs(registrar.ReasonIssuerDown, 503)
		h.renew(cert).withKey(key).refusedAs(registrar.ReasonUntrusted, 403) // nobody knows whose it is
		if _, err := h.service.CACerts(t.Context(), &est.Request{Operation: est.OpCACerts, Peer: h.enroll("x").peer, At: h.now()}); err == nil {
			t.Error("cacerts without a CA")
		} else if e := refusal(t, err, registrar.ReasonIssuerDown, 503); e.RetryAfter <= 0 {
			t.Error("503 without Retry-After for cacerts")
		}
		h.pass(10 * time.Minute)
		if now, _ := u.requests(); now != before {
			t.Errorf("it was asked for %d certificates while its chain is unknown", now-before)
		}
		for range 50 {
			check(t, h.service.Reload(h.settings)) // one goroutine looks, however often
		}

		own.away.Store(false)
		h.pass(time.Hour + time.Minute)
		h.renew(cert).withKey(key).mustSend()
		h.enroll("sensor-2").basic(group).withKey(waits).mustSend()
		h.enroll("sensor-4").basic(group).mustSend()
		if n := len(h.certificates(registrar.Intended)); n != 0 {
			t.Errorf("%d intents are open", n)
		}
	})
}

// Devices pin the default issuer's root: without it there is no start, and a reload changes nothing.
func TestTheDefaultIssuerHasItsChain(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		own := &silent{upstream: u}
		own.away.Store(true)
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: own, "upstream": u}
		if err := h.service.Reload(&s); !errors.Is(err, ca.ErrUnavailable) {
			t.Errorf("Reload = %v, want ca.ErrUnavailable", err)
		}
		h.enroll("sensor-1").basic(group).label("here").mustSend()
	})
}
