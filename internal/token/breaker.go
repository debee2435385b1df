package token

import (
	"fmt"
	"sync"
	"time"
)

// breaker makes calls fail at once after some failures in a row, and lets one
// of them try after a pause.
type breaker struct {
	limits Limits

	mu       sync.Mutex
	failures int       // in a row; guarded by mu
	until    time.Time // no call before; guarded by mu
	trying   bool      // one call tries, the others fail; guarded by mu
	last     error     // guarded by mu
}

// open reports whether calls fail at once. It is called with mu held.
func (b *breaker) open() bool { return b.failures >= b.limits.Failures }

// enter admits a call, whose outcome leave must hear, or fails.
func (b *breaker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open() {
		return nil
	}
	if b.trying || time.Now().Before(b.until) {
		return fmt.Errorf("%w; the last error was: %w", ErrUnavailable, b.last)
	}
	b.trying = true
	return nil
}

// leave hears the outcome of a call. An error that does not speak against the
// token shows that it works.
func (b *breaker) leave(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if !fault(err) {
		b.failures, b.last = 0, nil
		return
	}
	b.failures++
	b.last = err
	if b.open() {
		b.until = time.Now().Add(b.limits.Pause)
	}
}

// abandon hears that a call came to nothing that says anything.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}
