package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Limits of what is recorded.
const (
	maxExchanges = 64       // of one check
	maxRaw       = 64 << 10 // bytes of one side of one exchange
	maxLeft      = 1000     // things named as left on the target
)

// Exchange is one thing sent and what came back.
type Exchange struct {
	Sent, Came       string // a line each, such as "POST /x, 200 bytes" and "400 text/plain"
	RawSent, RawCame []byte // as on the wire; without passwords; kept on request only
}

// Recorder keeps what one check sent and got. A nil Recorder keeps nothing. It
// may be used by several goroutines.
type Recorder struct {
	raw bool

	mu        sync.Mutex
	exchanges []Exchange // guarded by mu
	left      []string   // guarded by mu
}

// Record keeps e, bounded: the raw bytes on request and up to 64 KiB a side, 64
// exchanges a check.
func (r *Recorder) Record(e Exchange) {
	if r == nil {
		return
	}
	e.Sent, e.Came = printable(e.Sent), printable(e.Came)
	if r.raw {
		e.RawSent, e.RawCame = bounded(e.RawSent), bounded(e.RawCame)
	} else {
		e.RawSent, e.RawCame = nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.exchanges) < maxExchanges {
		r.exchanges = append(r.exchanges, e)
	}
}

func bounded(b []byte) []byte {
	if len(b) <= maxRaw {
		return slices.Clone(b)
	}
	return append(slices.Clone(b[:maxRaw]), fmt.Sprintf("\n[%d more bytes]", len(b)-maxRaw)...)
}

func (r *Recorder) leave(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.left) < maxLeft {
		r.left = append(r.left, what)
	}
}

// taken returns what was recorded so far.
func (r *Recorder) taken() (exchanges []Exchange, left []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exchanges), slices.Clone(r.left)
}

type recorderKey struct{}

// RecorderOf returns the recorder of the check that ctx belongs to, and nil
// outside of a run. Actors that are servers keep it for what comes to them.
func RecorderOf(ctx context.Context) *Recorder {
	r, _ := ctx.Value(recorderKey{}).(*Recorder)
	return r
}

// Record keeps e for the check that ctx belongs to.
func Record(ctx context.Context, e Exchange) { RecorderOf(ctx).Record(e) }

// Leave names something that the check left on the target, such as a
// certificate by its serial number: the report lists it at the end.
func Leave(ctx context.Context, format string, args ...any) {
	if r := RecorderOf(ctx); r != nil {
		r.leave(printable(fmt.Sprintf(format, args...)))
	}
}
