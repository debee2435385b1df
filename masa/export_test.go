package masa

import (
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// The limits of what strangers can put on the trail.
const (
	MaxRefusalKeys  = maxRefusalKeys
	RefusalInterval = refusalInterval
)

// Refusals is what thins out refusals.
type Refusals struct{ *refusals }

// NewRefusals returns an empty one.
func NewRefusals() Refusals { return Refusals{newRefusals()} }

// Offer offers an entry and reports whether it was let through.
func (r Refusals) Offer(reason, address string, entry *trail.Entry) bool {
	r.offer(reason, address, entry)
	select {
	case <-r.queue:
		return true
	default:
		return false
	}
}

// Kept returns how many reasons and addresses are remembered.
func (r Refusals) Kept() int { return len(r.last) }

// The bounds of budgets.
const (
	MaxBudgetKeys = maxBudgetKeys
	BudgetWindow  = budgetWindow
)

// Budget counts uses.
type Budget struct{ budget }

// Take counts one use and returns how long to wait.
func (b *Budget) Take(key string, limit int, at time.Time) time.Duration {
	return b.take(key, limit, at)
}

// Kept returns how many keys are remembered.
func (b *Budget) Kept() int { return len(b.used) }

// Served thins out what is noted of audit-logs.
type Served struct{ served }

// Note tells whether a log of the device needs an entry.
func (s *Served) Note(device string, at time.Time) (rest int, needed bool) {
	return s.note(servedKey{device: device}, at)
}

// Kept returns how many registrars and devices are remembered.
func (s *Served) Kept() int { return len(s.last) }
