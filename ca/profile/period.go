package profile

import (
	"errors"
	"time"
)

// ErrPeriod says that a validity was asked for that the profile does not give.
// It comes wrapped together with [ca.ErrRejected].
var ErrPeriod = errors.New("the profile gives no such validity")

// period is the checked Validity.
type period struct {
	lifetime lifetime
	max      lifetime
	backdate time.Duration
	outlive  bool
}

// Period decides a certificate's validity, in whole seconds of UTC. notBefore
// and notAfter are what is asked for; zero leaves them to the profile. Without
// the profile's word nothing outlasts the issuer, whose end is issuerEnd: the
// profile's own lifetime is cut there, a longer one asked for is refused. The
// error wraps [ErrPeriod] and [ca.ErrRejected].
func (p *Profile) Period(now, notBefore, notAfter, issuerEnd time.Time) (start, end time.Time, err error) {
	now = now.UTC().Truncate(time.Second)
	start, end = notBefore.UTC().Truncate(time.Second), notAfter.UTC().Truncate(time.Second)
	earliest := now.Add(-p.period.backdate)
	if notBefore.IsZero() {
		start = earliest
	}
	limit := p.period.max.after(later(now, start))
	if !p.period.outlive && issuerEnd.Before(limit) {
		limit = issuerEnd.UTC().Truncate(time.Second)
	}
	if notAfter.IsZero() {
		end = p.period.lifetime.after(later(now, start))
		if end.After(limit) {
			end = limit
		}
	}
	const layout = "2006-01-02T15:04:05Z"
	switch {
	case start.Before(earliest):
		return start, end, rejected(ErrPeriod, "it would start at %s, before %s", start.Format(layout), earliest.Format(layout))
	case end.After(limit):
		return start, end, rejected(ErrPeriod, "it would end at %s, after %s", end.Format(layout), limit.Format(layout))
	case !end.After(start) || !end.After(now):
		return start, end, rejected(ErrPeriod, "it would end at %s, before it begins", end.Format(layout))
	}
	return start, end, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// admits says whether a certificate of the profile may have that validity at all.
func (p *period) admits(start, end time.Time) bool {
	return end.After(start) && !end.After(p.max.after(start.Add(p.backdate)))
}
