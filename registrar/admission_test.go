package registrar_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/registrar"
)

// stuckIssuer signs when it is told to.
type stuckIssuer struct {
	ca.Issuer
	inside  chan struct{}
	release chan struct{}
}

func (i *stuckIssuer) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	i.inside <- struct{}{}
	<-i.release
	return i.Issuer.Issue(ctx, r)
}

// With a slow issuer, requests beyond those that are being served are told
// within 50 ms of their arrival to come again, at different times, and nothing queues up.
func TestWithASlowIssuerRequestsAreTurnedAwayWithin50ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, more = 4, 40
		issuer := &stuckIssuer{inside: make(chan struct{}, places+more), release: make(chan struct{})}
		h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsAtOnce = places })
		issuer.Issuer = h.issuer
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: issuer}
		check(t, h.service.Reload(&s))
		h.clock.Store(time.Now().UnixNano())
		var served, refused sync.WaitGroup
		send := func(n int) (time.Duration, error) {
			r := h.enroll(fmt.Sprint("sensor-", n)).basic(group)
			arrived := time.Now()
			_, err := r.send()
			return time.Since(arrived), err
		}
		for n := range places {
			served.Go(func() {
				if _, err := send(n); err != nil {
					t.Errorf("request %d of those that are served: %v", n, err)
				}
			})
			<-issuer.inside
		}
		waits := make(chan time.Duration, more)
		for n := range more {
			refused.Go(func() {
				took, err := send(places + n)
				e := refusal(t, err, registrar.ReasonOverload, 503)
				if took > 50*time.Millisecond {
					t.Errorf("request %d was turned away after %s", n, took)
				}
				if e.RetryAfter < 4*time.Second || e.RetryAfter > 8*time.Second {
					t.Errorf("Retry-After %s", e.RetryAfter)
				}
				waits <- e.RetryAfter
			})
		}
		refused.Wait()
		close(waits)
		different := map[time.Duration]bool{}
		for w := range waits {
			different[w] = true
		}
		if len(different) < more/2 {
			t.Errorf("%d requests are to come back at %d times", more, len(different))
		}
		close(issuer.release)
		served.Wait()
		// The places are given back; one that becomes free in time is taken.
		if _, err := send(1000); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAPlaceThatBecomesFreeInTimeIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &stuckIssuer{inside: make(chan struct{}, 2), release: make(chan struct{})}
		h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsAtOnce = 1 })
		issuer.Issuer = h.issuer
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: issuer}
		check(t, h.service.Reload(&s))
		var both sync.WaitGroup
		for n := range 2 {
			both.Go(func() {
				if _, err := h.enroll(fmt.Sprint("sensor-", n)).basic(group).send(); err != nil {
					t.Errorf("request %d: %v", n, err)
				}
			})
		}
		<-issuer.inside
		synctest.Wait()
		time.Sleep(30 * time.Millisecond) // of the bubble's clock
		issuer.release <- struct{}{}
		<-issuer.inside
		issuer.release <- struct{}{}
		both.Wait()
	})
}

// One device cannot hold up others by asking many times at once.
func TestACrowdForOneDeviceTakesNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &stuckIssuer{inside: make(chan struct{}, 100), release: make(chan struct{})}
		h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsAtOnce = 2 })
		issuer.Issuer = h.issuer
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: issuer}
		check(t, h.service.Reload(&s))
		crowd := h.enroll("sensor-7").basic(group)
		var all sync.WaitGroup
		var mu sync.Mutex
		turned := 0
		for range 100 {
			one := *crowd
			all.Go(func() {
				if _, err := one.send(); err != nil {
					refusal(t, err, registrar.ReasonOverload, 503)
					mu.Lock()
					turned++
					mu.Unlock()
				}
			})
		}
		<-issuer.inside
		synctest.Wait()
		other := make(chan error, 1)
		go func() { _, err := h.enroll("sensor-8").basic(group).send(); other <- err }()
		<-issuer.inside // it is being signed beside the crowd's first
		close(issuer.release)
		if err := <-other; err != nil {
			t.Errorf("another device: %v", err)
		}
		all.Wait()
		if turned != 100-32 {
			t.Errorf("%d of 100 were turned away, want all but 32", turned)
		}
	})
}
