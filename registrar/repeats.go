package registrar

import (
	"maps"
	"sync"
	"time"
)

// repeats bounds what authenticated peers put on the trail by being refused.
// Every refusal is an entry, up to a number of the same kind in a minute and a
// number of one credential; beyond that they are counted, and the next entry of
// the kind tells how many were left out.
type repeats struct {
	size  int     // of last
	peers *budget // entries of a credential

	mu    sync.Mutex
	last  map[repeated]*repeat // guarded by mu
	swept time.Time            // guarded by mu
}

// repeated is what the same refusals have in common.
type repeated struct{ credential, device, operation, reason string }

// repeat is a minute of the same refusal: since when, how many entries it got,
// and how many it did not.
type repeat struct {
	at      time.Time
	entries int
	left    int
}

// perKind bounds the entries of the same refusal in a minute: more than a
// device makes that asks again and again, and few enough for a trail.
const perKind = 20

// perCredential bounds the entries of one credential in a minute. A group's may
// stand for many devices, and can name as many as it likes.
const perCredential = 120

func newRepeats(size int) *repeats {
	return &repeats{size: size, peers: newBudget(time.Minute, size), last: map[repeated]*repeat{}}
}

// admit tells whether the trail is to get the refusal, and how many of its
// kind were left out before. Not to get it although it is new is a drop.
func (r *repeats) admit(key repeated, at time.Time) (left int, onTrail, dropped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.last[key]
	if seen != nil {
		age := at.Sub(seen.at)
		switch current := age >= 0 && age < time.Minute; {
		case current && seen.entries >= perKind:
			seen.left++
			return 0, false, false
		case !current:
			left, seen = seen.left, nil
		}
	} else if len(r.last) >= r.size {
		if r.sweep(at); len(r.last) >= r.size {
			return 0, false, true
		}
	}
	if _, over := r.peers.exceeded(key.credential, perCredential, at); over {
		return 0, false, true
	}
	r.peers.use(key.credential, at)
	if seen == nil {
		seen = &repeat{at: at}
		r.last[key] = seen
	}
	seen.entries++
	return left, true, false
}

// forget has the next refusal of the kind on the trail, as this one is not.
func (r *repeats) forget(key repeated) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, key)
}

// sweep forgets what is older than a minute, once a second at most.
func (r *repeats) sweep(at time.Time) {
	if age := at.Sub(r.swept); age >= 0 && age < time.Second {
		return
	}
	r.swept = at
	maps.DeleteFunc(r.last, func(_ repeated, seen *repeat) bool {
		age := at.Sub(seen.at)
		return age < 0 || age >= time.Minute
	})
}
