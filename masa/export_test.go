package masa

import "github.com/briskest/briskest/internal/trail"

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
