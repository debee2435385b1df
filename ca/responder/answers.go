package responder

import (
	"sync"
	"time"
)

// answers keeps signed answers by the CertID they are about: two generations
// of half the bound each, of which the older one is dropped when the younger
// one is full.
type answers struct {
	half int

	mu         sync.Mutex
	young, old map[string]*answer // guarded by mu
}

func newAnswers(most int) *answers {
	return &answers{half: max(most/2, 1), young: map[string]*answer{}}
}

// find returns an answer that tells of that status and is good for a while.
func (s *answers) find(id []byte, status Status, now time.Time) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.young[string(id)]
	if a == nil {
		if a = s.old[string(id)]; a == nil {
			return nil
		}
		s.put(string(id), a)
	}
	if !a.status.same(status) || !now.Before(a.until) || now.Before(a.thisUpdate) {
		return nil
	}
	return a
}

// same tells whether an answer about one status serves for the other.
func (s Status) same(o Status) bool {
	return s.Issued == o.Issued && s.Revoked == o.Revoked && s.Reason == o.Reason && s.At.Equal(o.At)
}

// keep remembers an answer.
func (s *answers) keep(id []byte, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(string(id), a)
}

// put stores one; s.mu is held.
func (s *answers) put(id string, a *answer) {
	if _, there := s.young[id]; !there && len(s.young) >= s.half {
		s.old, s.young = s.young, make(map[string]*answer, s.half)
	}
	s.young[id] = a
}
