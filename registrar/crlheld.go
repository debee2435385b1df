package registrar

import (
	"log/slog"
	"sync"
	"time"
)

// maxHeldLists bounds the lists that are kept in memory, in bytes.
const maxHeldLists = 64 << 20

// heldCRLs are the lists that were asked for lately.
type heldCRLs struct {
	mu    sync.Mutex
	held  map[CRLScope]*heldCRL // guarded by mu
	bytes int                   // guarded by mu
}

// heldCRL is one of them; it does not change.
type heldCRL struct {
	crl       *CRL
	checkedAt time.Time // when the record had nothing newer
}

// fresh says that nobody has to look at the record.
func (h *heldCRL) fresh(now time.Time, soon time.Duration) bool {
	if h == nil || now.Before(h.checkedAt) || now.Sub(h.checkedAt) >= soon {
		return false
	}
	return now.Sub(h.crl.ThisUpdate) <= h.crl.NextUpdate.Sub(h.crl.ThisUpdate)/2
}

func (h *heldCRL) current(now time.Time) bool { return h != nil && now.Before(h.crl.NextUpdate) }

func (h *heldCRLs) find(scope CRLScope) *heldCRL {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[scope]
}

// keep takes a list up; nil does nothing.
func (h *heldCRLs) keep(scope CRLScope, l *CRL, now time.Time) {
	if l == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[CRLScope]*heldCRL{}
	}
	h.drop(scope)
	h.held[scope] = &heldCRL{l, now}
	h.bytes += heldSize(l)
	for other := range h.held { // in no order
		if h.bytes <= maxHeldLists {
			break
		}
		if other != scope {
			h.drop(other)
		}
	}
}

// drop forgets a list; h.mu is held.
func (h *heldCRLs) drop(scope CRLScope) {
	if old := h.held[scope]; old != nil {
		h.bytes -= heldSize(old.crl)
		delete(h.held, scope)
	}
}

func heldSize(l *CRL) int { return len(l.Raw) + 512 }

// scopes are those of all that are held.
func (h *heldCRLs) scopes() []CRLScope {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]CRLScope, 0, len(h.held))
	for scope := range h.held {
		out = append(out, scope)
	}
	return out
}

// keepLists has the lists that are asked for signed before anybody has to wait for them.
func (s *Service) keepLists() {
	for s.pause(max(s.current.Load().Lists.Soon, time.Second)) {
		for _, scope := range s.lists.scopes() {
			if _, err := s.CRL(s.life, "", scope); err != nil && s.life.Err() == nil {
				s.log.WarnContext(s.life, "CRL not kept up", slog.String("scope", scope.lockKey()), slog.Any("error", err))
			}
		}
	}
}
