package registrar

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// budget counts uses of a key in a sliding window, estimated from two fixed
// windows, in bounded memory: when too many keys are in use, the older window
// is forgotten early.
type budget struct {
	window time.Duration
	keys   int // at most, a window

	mu        sync.Mutex
	start     time.Time        // of the present window; guarded by mu
	now, past map[string]int32 // guarded by mu
}

func newBudget(window time.Duration, keys int) *budget {
	return &budget{window: window, keys: keys, now: map[string]int32{}}
}

// exceeded tells whether key has used up limit at the given time, and after
// how long it is worth trying again.
func (b *budget) exceeded(key string, limit int, at time.Time) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over(key, limit, at)
}

// use counts one use.
func (b *budget) use(key string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(key, at)
}

// take counts one use, unless limit is used up: then it says so, and after how long it
// is worth trying again.
func (b *budget) take(key string, limit int, at time.Time) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait, over := b.over(key, limit, at)
	if !over {
		b.count(key, at)
	}
	return wait, over
}

// over is exceeded; mu is held.
func (b *budget) over(key string, limit int, at time.Time) (time.Duration, bool) {
	b.turn(at)
	rest := b.window - at.Sub(b.start)
	used := float64(b.now[key]) + float64(b.past[key])*float64(rest)/float64(b.window)
	if used < float64(limit) {
		return 0, false
	}
	return max(time.Second, min(rest, b.window/time.Duration(limit))), true
}

// count is use; mu is held.
func (b *budget) count(key string, at time.Time) {
	b.turn(at)
	if _, known := b.now[key]; !known && len(b.now) >= b.keys {
		b.past, b.now = b.now, map[string]int32{}
	}
	b.now[key]++
}

func (b *budget) turn(at time.Time) {
	switch age := at.Sub(b.start); {
	case age < b.window && age >= 0:
	case age < 2*b.window && age >= 0:
		b.start, b.past, b.now = b.start.Add(b.window), b.now, map[string]int32{}
	default:
		b.start, b.past, b.now = at, nil, map[string]int32{}
	}
}

// addressBudget refuses an address that sends too much; count says whether
// this request counts.
func (s *Service) addressBudget(v *version, c *Case, count bool) *Decision {
	limit := v.Limits.EnrollmentsPerAddress
	if limit == 0 || c.Operation != OpEnroll && c.Operation != OpRenew && c.Operation != OpVoucher && c.Operation != OpFullCMC {
		return nil
	}
	key := v.budgetKey(c)
	if wait, over := s.byAddress.exceeded(key, limit, c.At); over {
		return &Decision{Reason: ReasonAddressBudget, Rule: "address-budget", RetryAfter: jitter(wait)}
	}
	if count {
		s.byAddress.use(key, c.At)
	}
	return nil
}

// budgetKey is whose budget a request uses before it is known who asks.
func (v *version) budgetKey(c *Case) string {
	key := addressKey(c.Address.Addr())
	if len(c.shown) == 0 || !slices.Contains(v.Limits.Proxies, c.Address.Addr().Unmap().WithZone("")) {
		return key
	}
	sum := sha256.Sum256(c.shown)
	return key + "\x00" + string(sum[:])
}

// deviceBudget refuses a certificate or an exchange that is one too many for a
// device; count says whether this one counts.
func (s *Service) deviceBudget(v *version, c *Case, key string, count bool) *Decision {
	limit := v.Limits.EnrollmentsPerDevice
	if limit == 0 {
		return nil
	}
	if wait, over := s.byDevice.exceeded(key, limit, c.At); over {
		return &Decision{Reason: ReasonDeviceBudget, Rule: "device-budget", RetryAfter: jitter(wait)}
	}
	if count {
		s.byDevice.use(key, c.At)
	}
	return nil
}

// spender is whose budget an enrollment of the device named by key uses: the
// device's own, unless somebody else enrolls the name, who has one for each
// name and must not be able to use up what the device or others have.
func (c *Case) spender(key string) string {
	_, named := c.Identity.Named()
	switch {
	case c.aboutItself(), c.Identity.Kind == IDevID, c.Identity.Kind == Client, named:
		return key
	default:
		return key + "\x00" + c.Identity.Credential
	}
}

// addressKey groups what one peer can easily have many of: the addresses of an IPv6 /64.
func addressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// jitter adds up to a quarter, so that those who were refused together do not
// come back together.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // not a secret
}
