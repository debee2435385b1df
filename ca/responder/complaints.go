package responder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// complaints keep strangers from filling the log: anybody may ask, as often as
// they like, and a request that cannot be answered is one line an operator needs once.
type complaints struct {
	mu     sync.Mutex
	last   time.Time // of the last line of level error; guarded by mu
	unsaid int64     // since then; guarded by mu
}

// complainEvery is how often the log gets a line of level error.
const complainEvery = time.Minute

// complain logs what keeps a request from its answer: at level error once a
// minute, with how many were passed over. One whose client left, or whose time
// was over, says nothing about this side alone and is of level debug.
func (r *Responder) complain(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		r.config.Log.DebugContext(ctx, what, slog.String("error", err.Error()))
		return
	}
	unsaid, say := r.told.next(r.config.Now())
	if !say {
		r.config.Log.DebugContext(ctx, what, slog.String("error", err.Error()))
		return
	}
	r.config.Log.ErrorContext(ctx, what, slog.String("error", err.Error()), slog.Int64("since_last", unsaid))
}

// next tells whether a line is due, and how many were not said before it.
func (c *complaints) next(now time.Time) (unsaid int64, say bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && now.Sub(c.last).Abs() < complainEvery {
		c.unsaid++
		return 0, false
	}
	unsaid, c.unsaid, c.last = c.unsaid, 0, now
	return unsaid, true
}
