package pledge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// schedule begins what is due and returns when to look again; zero where only
// an event can change anything.
func (h *hunt) schedule(ctx context.Context) time.Time {
	for {
		now := h.now()
		t := h.due(now)
		if t == nil {
			return h.earliest(now)
		}
		if now.Before(h.next) {
			return h.next
		}
		if busy := h.busy(); len(busy) >= h.c.Parallel {
			at := h.stalledAt(busy)
			if now.Before(at) {
				return at
			}
			h.makeRoom(busy)
		}
		h.begin(ctx, t, now)
	}
}

// due returns the target to try now: of those whose time has come the one that
// was communicated with least recently (RFC 8995, Section 5.1). The cloud
// registrar is for when no local one is found that decides (RFC 8995, Section 2.7).
func (h *hunt) due(now time.Time) *target {
	var best, cloud *target
	local := false
	for _, t := range h.targets {
		switch {
		case t.via == viaCloud:
			if !t.spent && !t.active && !now.Before(t.notBefore) {
				cloud = t
			}
		case t.active:
			local = local || !t.waits // who only says "not yet" does not keep the cloud away
		case t.spent || now.Before(t.notBefore):
		case best == nil || t.last.Before(best.last):
			best = t
		}
	}
	if best == nil && !local && h.heard {
		return cloud
	}
	return best
}

// earliest is when the first of those that rest may be tried again.
func (h *hunt) earliest(now time.Time) time.Time {
	var at time.Time
	for _, t := range h.targets {
		if !t.active && !t.spent && t.notBefore.After(now) && (at.IsZero() || t.notBefore.Before(at)) {
			at = t.notBefore
		}
	}
	return at
}

// busy returns the targets that are in hand, but for those where a registrar
// has said "not yet": these cost nothing while they wait.
func (h *hunt) busy() []*target {
	var busy []*target
	for _, t := range h.targets {
		if t.active && !t.waits && !t.dropped {
			busy = append(busy, t)
		}
	}
	return busy
}

// stalledAt is when no connection has made progress for so long that the oldest
// is dropped in favor of another proxy (RFC 8995, Section 5.1).
func (h *hunt) stalledAt(busy []*target) time.Time {
	var latest time.Time
	for _, t := range busy {
		if t.progress.After(latest) {
			latest = t.progress
		}
	}
	return latest.Add(stallAfter)
}

func (h *hunt) makeRoom(busy []*target) {
	oldest := busy[0]
	for _, t := range busy {
		if t.last.Before(oldest.last) {
			oldest = t
		}
	}
	oldest.dropped = true
	oldest.cancel()
}

// begin starts an attempt.
func (h *hunt) begin(ctx context.Context, t *target, now time.Time) {
	within, cancel := context.WithCancel(ctx)
	t.active, t.waits, t.dropped, t.spent = true, false, false, h.once
	t.last, t.progress, t.cancel = now, now, cancel
	h.next = now.Add(h.c.interval())
	r := *h.run
	r.hunt = h
	r.watched = t
	h.wg.Go(func() {
		err := r.attempt(within, t.origin)
		cancel()
		if !h.send(func() { h.end(t, &r, err) }) {
			r.close()
		}
	})
}

// end takes the outcome of an attempt.
func (h *hunt) end(t *target, r *run, err error) {
	t.active = false
	defer h.admit()
	if err == nil {
		r.hunt, r.watched = nil, nil
		h.won = r
		return
	}
	if !slices.Contains(h.targets, t) {
		return // made room for others, and is forgotten
	}
	if t.dropped {
		err = &Error{
			Reason: ReasonStalled, class: ErrUnavailable, Section: "RFC 8995, Section 5.1", Err: err,
			Message: fmt.Sprintf("the registrar at %s made no progress and had to make room for others", t.address),
		}
	}
	t.err = err
	var e *Error
	if !errors.As(err, &e) || e.class == nil {
		h.fatal = err // of this device: no other registrar changes that
		return
	}
	t.failures++
	t.notBefore = h.now().Add(backoff(e, t.failures))
	if e.final || e.class == ErrPending {
		t.spent = true
	}
	if err := h.note(t, r, e); err != nil {
		h.fatal = errors.Join(e, err)
	}
}

// note puts a refusal on record, which ends the request, so that the next
// attempt has a new nonce (RFC 8995, Section 5.2). While a registrar is undecided
// or failing, the request stays as it is, and nothing is written.
func (h *hunt) note(t *target, r *run, e *Error) error {
	if e.class != ErrRefused && e.class != ErrUntrusted && !upstream(e) {
		return nil
	}
	var files []string
	for _, o := range r.asked {
		if rec := h.st.recordOf(o); rec != nil && rec.Request != "" {
			rec.Request, rec.RequestedAt = "", time.Time{}
			files = append(files, r.requestFile(o))
		}
	}
	rec, gone := h.st.keepRecord(t.origin)
	rec.Failures, rec.Reason, rec.NotBefore = t.failures, e.Reason, t.notBefore
	h.st.Registrar, h.st.Via, h.st.Request = "", "", "" // of an imprint that was lost
	h.st.settleStage()
	if err := h.save(); err != nil {
		return err
	}
	if gone != nil {
		return errors.Join(h.remove(files...), h.removeRequests(gone))
	}
	return h.remove(files...)
}

// upstream tells whether the registrar gave up on the MASA, or on its answer. That
// is the outcome of this request, which a registrar answers alike each time; another
// one is asked about anew.
func upstream(e *Error) bool {
	return e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
}

// backoff is how long a place is left alone after a number of failures in a
// row: longer after a refusal than after silence, and longest where something
// did not prove what it had to; doubled each time, up to an hour
// (RFC 8995, Section 4.1), or what the registrar asked for.
func backoff(e *Error, failures int) time.Duration {
	d := 5 * time.Second
	switch e.class {
	case ErrRefused:
		d = time.Minute
	case ErrUntrusted:
		d = 5 * time.Minute
	}
	for ; failures > 1 && d < maxBackoff; failures-- {
		d *= 2
	}
	d = max(d+rand.N(d/4), e.RetryAfter) //nolint:gosec // spreads load, is no secret
	return min(d, maxBackoff)
}

// commit has f, which changes what is stored, done by whoever owns the storage.
func (r *run) commit(f func() error) error {
	if r.hunt == nil {
		return f()
	}
	done := make(chan error, 1)
	if !r.hunt.send(func() { done <- f() }) {
		return r.unreachable(context.Background(), "requesting a voucher", context.Canceled)
	}
	select {
	case err := <-done:
		return err
	case <-r.hunt.over:
		return r.unreachable(context.Background(), "requesting a voucher", context.Canceled)
	}
}

// progressed tells that the registrar was heard of.
func (r *run) progressed() {
	if h, t := r.hunt, r.watched; h != nil {
		h.send(func() { t.progress = h.now() })
	}
}

// waiting tells that the registrar has asked for patience, or that this is over.
func (r *run) waiting(yes bool) {
	if h, t := r.hunt, r.watched; h != nil {
		h.send(func() { t.waits, t.progress = yes, h.now(); h.admit() })
	}
}
