package registrar

import (
	"maps"
	"sync"
	"time"
)

// repeats thins out what authenticated peers put on the trail by being
// refused: of the same refusal one entry a minute, which tells how many were
// left out since the one before, and of one credential a bounded number of
// different ones.
type repeats struct {
	size  int     // of last
	peers *budget // entries of a credential

	mu    sync.Mutex
	last  map[repeated]*repeat // guarded by mu
	swept time.Time            // guarded by mu
}

// repeated is what the same refusals have in common.
type repeated struct{ credential, device, operation, reason string }

// repeat is when the trail got a refusal last, and how often it did not since.
type repeat struct {
	at   time.Time
	left int
}

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
	if seen := r.last[key]; seen != nil {
		if age := at.Sub(seen.at); age >= 0 && age < time.Minute {
			seen.left++
			return 0, false, false
		}
		left = seen.left
	} else if len(r.last) >= r.size {
		if r.sweep(at); len(r.last) >= r.size {
			return 0, false, true
		}
	}
	if _, over := r.peers.exceeded(key.credential, perCredential, at); over {
		return 0, false, true
	}
	r.peers.use(key.credential, at)
	r.last[key] = &repeat{at: at}
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
