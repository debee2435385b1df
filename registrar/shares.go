package registrar

import (
	"context"
	"sync"

	"github.com/briskest/briskest/ca"
)

// shares keep an issuer that asks another CA, which may be slow, from taking
// the places of the others. A revoker is one: another CA answers for its
// certificates.
type shares struct {
	mu       sync.Mutex
	busy     map[string]int           // enrollments that wait for an answer, by issuer; guarded by mu
	pursuing map[string]chan struct{} // one place an outstanding issuance that is asked about; guarded by mu
}

// share is what such an issuer may take of limit: as much as every other one,
// and as those that sign here together.
func (v *version) share(limit int) int {
	away, here := 0, 0
	for _, i := range v.issuers {
		if i.away() {
			away++
		} else {
			here = 1
		}
	}
	return max(1, limit/max(1, away+here))
}

// away tells whether the issuer asks another CA.
func (i *issuer) away() bool {
	_, ok := i.Issuer.(ca.Revoker)
	return ok
}

// enter takes a place among the enrollments of the issuer, or says to come again.
func (s *shares) enter(v *version, by *issuer) (leave func(), d *Decision) {
	if !by.away() {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[by.name] >= v.share(v.Limits.EnrollmentsAtOnce) {
		return nil, overloaded("issuer-share")
	}
	if s.busy == nil {
		s.busy = make(map[string]int)
	}
	s.busy[by.name]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.busy[by.name]--; s.busy[by.name] == 0 {
			delete(s.busy, by.name)
		}
	}, nil
}

// pursue waits for one of the issuer's places among those that are asked about.
func (s *shares) pursue(ctx context.Context, issuer string) (leave func(), err error) {
	s.mu.Lock()
	if s.pursuing == nil {
		s.pursuing = make(map[string]chan struct{})
	}
	places := s.pursuing[issuer]
	if places == nil {
		places = make(chan struct{}, pursuers)
		s.pursuing[issuer] = places
	}
	s.mu.Unlock()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
