package token

import (
	"context"
	"sync"
	"time"
)

// clock gives calls a deadline that those share which begin within a moment: a
// timer for each signature costs a good part of what it takes to hand the call
// over. A call has at least 15/16 of the time.
type clock struct {
	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // it is what is shared; guarded by mu
	cancel context.CancelFunc
	until  time.Time // no call that begins later gets ctx; guarded by mu
}

// within returns a context that ends within d with [ErrHung]. D is the same at
// each call.
func (c *clock) within(d time.Duration) context.Context {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || now.After(c.until) {
		c.ctx, c.cancel = within(context.Background(), d) // never canceled: calls wait under it, and it ends by itself
		c.until = now.Add(d / 16)
	}
	return c.ctx
}
