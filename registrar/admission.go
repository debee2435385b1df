package registrar

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// decideWithin is how soon after its arrival a request knows whether it is
// served now or has to come again.
const decideWithin = 50 * time.Millisecond

// perDeviceQueue bounds the requests that wait for the same device: more than
// any device makes that has lost patience, few enough for one not to be a crowd.
const perDeviceQueue = 32

// admission bounds the enrollments that are being decided and signed. One that
// finds no place waits for a moment, for others come and go in milliseconds, and
// then comes again later, rather than in a queue that grows.
type admission struct {
	mu      sync.Mutex
	busy    int             // guarded by mu
	waiting []chan struct{} // first come, first served; each is closed when it gets a place; guarded by mu
}

// enter takes a place of limit, waiting for it at most for the given time; with
// as many waiting as there are places it does not wait. leave gives it back.
func (a *admission) enter(ctx context.Context, limit int, patience time.Duration) bool {
	a.mu.Lock()
	if a.busy < limit {
		a.busy++
		a.mu.Unlock()
		return true
	}
	if patience <= 0 || len(a.waiting) >= limit {
		a.mu.Unlock()
		return false
	}
	turn := make(chan struct{})
	a.waiting = append(a.waiting, turn)
	a.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.waiting, turn)
	if i < 0 {
		return true // the two came together
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	return false
}

func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 {
		a.busy--
		return
	}
	close(a.waiting[0])
	a.waiting = slices.Delete(a.waiting, 0, 1)
}

// admit takes a place among the enrollments that are being decided, or says
// when to come again. The caller holds the device's lock, so that whoever waits
// for a device takes no place.
func (s *Service) admit(ctx context.Context, v *version, c *Case) (leave func(), d *Decision) {
	if !s.enrolling.enter(ctx, v.Limits.EnrollmentsAtOnce, decideWithin-s.now().Sub(c.At)) {
		return nil, overloaded("admission")
	}
	return s.enrolling.leave, nil
}

// overloaded asks to come again after 4 to 8 seconds.
func overloaded(rule string) *Decision {
	const least = 4 * time.Second
	return &Decision{Reason: ReasonOverload, Rule: rule, RetryAfter: least + rand.N(least)} //nolint:gosec // not a secret
}
