package pledge

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Limits of looking for a registrar (RFC 8995, Sections 4.1 and 5.1).
const (
	minInterval     = 3 * time.Second // between the beginnings of attempts, and up to
	maxInterval     = 5 * time.Second
	stallAfter      = 5 * time.Second // without progress of any, the oldest makes room
	maxBackoff      = time.Hour
	defaultParallel = 4
	maxTargets      = 64 // candidates at a time: anybody can announce some
)

// hunt looks for the registrar that has a voucher for this device: several are
// asked at a time, each with a request of its own, and the first whose voucher
// holds is it. The loop of [hunt.run] is the only goroutine that touches what is
// here and that writes to the storage; attempts send it what to do.
type hunt struct {
	*run
	once      bool // each candidate once
	targets   []*target
	listening bool // the discoverer is asked
	heard     bool // it has had its say once, or there is none
	stopping  bool // ctx has ended: nothing more is begun
	next      time.Time
	reached   time.Time // the latest time that was waited for
	armed     time.Time // the time that is waited for
	disarm    context.CancelFunc
	found     *origin // waits for a place among targets
	admitted  chan struct{}
	deaf      error // why the discoverer cannot be asked
	won       *run
	fatal     error

	do   chan func()
	over chan struct{} // closed when the loop has ended
	wg   sync.WaitGroup
}

// target is one candidate.
type target struct {
	origin
	failures  int
	notBefore time.Time
	last      time.Time // when an attempt was begun last; zero for never
	err       error     // of the last attempt
	spent     bool      // not to be tried again

	active, waits, dropped bool      // an attempt is in hand; the registrar said "not yet"; room was made
	progress               time.Time // of the attempt in hand
	cancel                 context.CancelFunc
}

// seekVoucher returns a run with a voucher that holds and a connection to the
// registrar that it is for.
func (r *run) seekVoucher(ctx context.Context, once bool) (*run, error) {
	h := &hunt{run: r, once: once, do: make(chan func()), over: make(chan struct{}), disarm: func() {}}
	h.gather()
	return h.search(ctx)
}

// gather makes targets of what is known: what an earlier run has begun comes
// first.
func (h *hunt) gather() {
	for _, rec := range h.st.Attempts {
		if o, err := parseOrigin(rec.Registrar, rec.Via); err == nil && o.via == viaDiscovered && rec.Request != "" {
			h.add(o)
		}
	}
	for _, o := range h.known() {
		if o.via == viaGiven || o.via == viaDiscovered {
			h.add(o)
		}
	}
	slices.SortStableFunc(h.targets, func(a, b *target) int { return cmp.Compare(h.outAt(b), h.outAt(a)) })
	if h.cloud != nil {
		h.add(*h.cloud)
	}
}

// outAt is 1 where a request is out.
func (h *hunt) outAt(t *target) int {
	if rec := h.st.recordOf(t.origin); rec != nil && rec.Request != "" {
		return 1
	}
	return 0
}

// add adds a target, with what is on record of it. One that is known stays as it is.
func (h *hunt) add(o origin) {
	if slices.ContainsFunc(h.targets, func(t *target) bool { return t.same(o) }) {
		return
	}
	t := &target{origin: o}
	if rec := h.st.recordOf(o); rec != nil && !h.once {
		t.failures, t.notBefore = rec.Failures, rec.NotBefore
		if latest := h.now().Add(maxBackoff); t.notBefore.After(latest) { // the clock was set back
			t.notBefore = latest
		}
	}
	h.targets = append(h.targets, t)
}

// admit takes the one that was found last as soon as there is room for it.
func (h *hunt) admit() {
	if h.found == nil {
		return
	}
	if len(h.targets) >= maxTargets && !h.evict() {
		return
	}
	h.add(*h.found)
	h.found = nil
	close(h.admitted)
}

// evict drops one of those that were found: the one with the most failures, else
// the one that says "not yet" for longest. Those not tried yet stay.
func (h *hunt) evict() bool {
	worst := -1
	for i, t := range h.targets {
		if t.via == viaDiscovered && (t.waits || (!t.active && t.failures > 0)) && (worst < 0 || t.worse(h.targets[worst])) {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	if t := h.targets[worst]; t.active {
		t.cancel()
	}
	h.targets = slices.Delete(h.targets, worst, worst+1)
	return true
}

func (t *target) worse(other *target) bool {
	if t.active != other.active {
		return other.active
	}
	return t.failures > other.failures || (t.failures == other.failures && t.last.Before(other.last))
}

// search is the loop.
func (h *hunt) search(ctx context.Context) (*run, error) {
	within, cancel := context.WithCancel(ctx)
	defer h.wg.Wait()
	defer cancel()
	defer close(h.over)
	h.listen(within)
	ended := ctx.Done()
	for {
		if h.won == nil && h.fatal == nil && !h.stopping {
			h.wait(within, h.schedule(within))
		}
		switch {
		case h.won != nil:
			return h.won, nil
		case h.fatal != nil:
			return nil, h.fatal
		case h.finished():
			return nil, h.verdict(ctx)
		}
		select {
		case f := <-h.do:
			f()
		case <-ended: // attempts see it too, and say how they ended
			h.stopping, ended = true, nil
		}
	}
}

// send has the loop do f; false when the loop has ended.
func (h *hunt) send(f func()) bool {
	select {
	case h.do <- f:
		return true
	case <-h.over:
		return false
	}
}

// now is the time as far as it was waited for.
func (h *hunt) now() time.Time {
	if now := h.c.Now(); now.After(h.reached) {
		return now
	}
	return h.reached
}

// finished tells whether nothing is in hand and nothing is to come.
func (h *hunt) finished() bool {
	if slices.ContainsFunc(h.targets, func(t *target) bool { return t.active }) {
		return false
	}
	return h.stopping || (!h.listening && !slices.ContainsFunc(h.targets, func(t *target) bool { return !t.spent }))
}

func (h *hunt) verdict(ctx context.Context) error {
	var errs []error
	for _, t := range h.targets {
		if t.err != nil {
			errs = append(errs, t.err)
		}
	}
	if len(errs) == 0 && ctx.Err() != nil {
		return &Error{Reason: ReasonNoRegistrar, class: ErrUnavailable, Message: "the search for a registrar was ended", Err: ctx.Err()}
	}
	if len(errs) == 0 && h.deaf != nil {
		return &Error{Reason: ReasonNoRegistrar, class: ErrUnavailable, Message: "looking for registrars is not possible", Err: h.deaf}
	}
	return verdict(errs)
}

// listen asks the discoverer until ctx ends; once, until it has nothing more.
func (h *hunt) listen(ctx context.Context) {
	if h.c.Discoverer == nil {
		h.heard = true
		return
	}
	h.listening = true
	h.wg.Go(func() {
		for {
			c, err := h.c.Discoverer.Next(ctx)
			if err == nil {
				if o, err := h.read(c); err == nil && !h.offer(o) {
					return
				}
				continue
			}
			var deaf error
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				h.c.Log.Warn("discovery of registrars", "error", err)
				deaf = err
			}
			ended := h.once || ctx.Err() != nil
			if !h.send(func() { h.heard, h.listening, h.deaf = true, !ended, deaf }) || ended {
				return
			}
			if h.c.Wait(ctx, maxInterval) != nil {
				h.send(func() { h.listening = false })
				return
			}
		}
	})
}

// offer adds what was found, and waits until there is room for it.
func (h *hunt) offer(o origin) bool {
	admitted := make(chan struct{})
	if !h.send(func() { h.found, h.admitted = &o, admitted; h.admit() }) {
		return false
	}
	select {
	case <-admitted:
		return true
	case <-h.over:
		return false
	}
}

// wait has the loop turn at the given time; zero for not at all.
func (h *hunt) wait(ctx context.Context, at time.Time) {
	if at.Equal(h.armed) {
		return
	}
	h.disarm()
	h.armed = at
	if at.IsZero() {
		return
	}
	within, cancel := context.WithCancel(ctx)
	h.disarm = cancel
	d := at.Sub(h.now())
	h.wg.Go(func() {
		err := h.c.Wait(within, d)
		cut := within.Err() != nil
		cancel()
		h.send(func() {
			if cut || !at.Equal(h.armed) {
				return
			}
			if h.armed = (time.Time{}); err != nil {
				h.stopping = true
				return
			}
			h.reached = at
		})
	})
}

// interval is what lies between the beginnings of two attempts.
func (c *Config) interval() time.Duration {
	return minInterval + rand.N(maxInterval-minInterval) //nolint:gosec // spreads load, is no secret
}
