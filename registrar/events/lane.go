package events

import (
	"container/heap"
	"math/rand/v2"
	"strconv"
	"time"
)

// item is an event on its way.
type item struct {
	m    *Message
	lane *lane
	// letter says that the event has a row of its own and holds up the cursor no more.
	letter bool
	done   bool
	tries  int // that count, see pump.failed
}

// lane is what is about one device, in order: letters first, then what is in the
// window. An event about no device has a lane to itself.
type lane struct {
	key     string
	device  string
	only    int64     // sequence number of the one event, where device is ""
	letters int       // waiting, on record or about to be
	items   []*item   // in the window
	flying  *item     // being sent
	fails   int       // in a row, for the backoff
	began   time.Time // the newest try
	last    time.Time // the newest try that failed, its end
	due     time.Time // not before
	at      int       // in the heap; -1 when not
}

func laneKey(device string, seq int64) string {
	if device == "" {
		return "\x00" + strconv.FormatInt(seq, 10)
	}
	return device
}

func (l *lane) idle() bool { return l.letters == 0 && len(l.items) == 0 && l.flying == nil }

// waiting are the lanes that have something to send and send nothing, in order of due.
type waiting []*lane

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push is heap.Interface's.
func (w *waiting) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // lanes alone are pushed
	l.at = len(*w)
	*w = append(*w, l)
}

// Pop is heap.Interface's.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	l := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	l.at = -1
	return l
}

// settle puts the lane where it belongs: into the heap, out of it, or away.
func (p *pump) settle(l *lane) {
	ready := l.flying == nil && (l.letters > 0 || len(l.items) > 0)
	switch {
	case ready && l.at < 0:
		if now := time.Now(); l.due.Before(now) {
			l.due = now // behind those that wait already
		}
		heap.Push(&p.ready, l)
	case ready:
		heap.Fix(&p.ready, l.at)
	case l.at >= 0:
		heap.Remove(&p.ready, l.at)
	}
	if l.idle() {
		delete(p.lanes, l.key)
	}
}

func (p *pump) lane(device string, seq int64) *lane {
	key := laneKey(device, seq)
	l := p.lanes[key]
	if l == nil {
		l = &lane{key: key, device: device, only: seq, at: -1}
		p.lanes[key] = l
	}
	return l
}

// backoff is the wait after so many failures in a row: it doubles, up to RetryMax,
// and between half of it and all of it is drawn.
func (t *Target) backoff(fails int) time.Duration {
	wait := t.Retry
	for n := 1; n < fails && wait < t.RetryMax; n++ {
		wait *= 2
	}
	wait = min(wait, t.RetryMax)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter
}
