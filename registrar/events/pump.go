package events

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

const (
	buffer     = 1024 // events in the window: read, and not yet delivered or a letter
	readAtOnce = 256  // entries
	flushAfter = 100 * time.Millisecond
	flushAt    = 256             // receipts and letters
	flushSkip  = 4096            // entries that are no events
	storeWait  = 2 * time.Second // after an error of the store
	sweepEvery = 6 * time.Hour   // receipts
	downLanes  = 3               // lanes that fail in a row, before the target counts as down
	maxAnswer  = 200             // bytes on record
	stopTime   = 5 * time.Second // for what is being sent when the pump stops
	hangs      = time.Second     // how long the oldest event may be under way, in a window full of what is done
)

// pump brings events to one target. One goroutine, run, has all of its fields but
// those for others.
type pump struct {
	d *Dispatcher
	t *Target

	wake    chan struct{} // a value when there may be more on the trail
	results chan result
	isDown  atomic.Bool   // for others
	stopped chan struct{} // closed when run has returned

	row      registrar.EventTarget // what is on record
	read     int64                 // the next entry to read
	behind   bool                  // there may be more on the trail
	items    []*item               // the window, in order, done ones included
	lanes    map[string]*lane      // by key
	ready    waiting
	flying   int
	failing  map[string]bool // lanes that failed since the last success
	success  time.Time       // when the target took something last
	downTill time.Time       // while down: not before
	downs    int             // probes that failed
	storeAt  time.Time       // after an error of the store: not before

	receipts []*registrar.EventReceipt
	put      map[int64]*registrar.EventLetter
	drop     map[int64]*registrar.EventLetter
	dirty    map[string]bool // lanes with something in put or drop
	entries  []*trail.Entry
	since    time.Time // when the oldest of these came; zero when there is none
	swept    time.Time
}

type result struct {
	it     *item
	answer string
	err    error
}

func newPump(d *Dispatcher, t *Target) *pump {
	return &pump{
		d: d, t: t, wake: make(chan struct{}, 1), results: make(chan result, t.Window), stopped: make(chan struct{}),
		lanes: make(map[string]*lane), failing: make(map[string]bool),
		put: make(map[int64]*registrar.EventLetter), drop: make(map[int64]*registrar.EventLetter), dirty: make(map[string]bool), behind: true,
	}
}

// run brings events until ctx ends, then puts on record what was delivered.
func (p *pump) run(ctx context.Context) {
	defer close(p.stopped)
	send, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !p.begin(ctx) {
		if !sleep(ctx, storeWait) {
			return
		}
	}
	for ctx.Err() == nil {
		p.trim()
		p.fill(ctx)
		p.launch(ctx, send)
		if p.flushDue() {
			p.flush(ctx)
		}
		timer.Reset(p.nap())
		select {
		case <-ctx.Done():
		case <-p.wake:
			p.behind = true
		case r := <-p.results:
			p.came(ctx, r)
		case <-timer.C:
		}
	}
	p.finish(context.WithoutCancel(ctx), cancel)
}

// finish waits a while for what is being sent.
func (p *pump) finish(ctx context.Context, cancel context.CancelFunc) {
	enough := time.AfterFunc(stopTime, cancel)
	defer enough.Stop()
	for p.flying > 0 {
		p.came(ctx, <-p.results)
	}
	p.flush(ctx)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// begin reads where the target is, or says false.
func (p *pump) begin(ctx context.Context) bool {
	err := p.resume(ctx)
	if err != nil && ctx.Err() == nil {
		p.d.log.ErrorContext(ctx, "events: the store", slog.String("target", p.t.Name), slog.Any("error", err))
	}
	return err == nil
}

func (p *pump) resume(ctx context.Context) error {
	end, err := p.d.store.TrailEnd(ctx)
	if err != nil {
		return err
	}
	row, err := p.d.store.EventTarget(ctx, p.d.domain, p.t.Name)
	switch {
	case errors.Is(err, registrar.ErrNotFound):
		row = &registrar.EventTarget{Domain: p.d.domain, Name: p.t.Name, Next: end}
		if p.t.FromStart {
			row.Next = 0
		}
	case err != nil:
		return err
	case row.Next > end: // such as with a trail from a backup
		p.d.log.WarnContext(ctx, "events: the target is ahead of the trail; it goes on from the trail's end",
			slog.String("target", p.t.Name), slog.Int64("next", row.Next), slog.Int64("end", end))
		row.Next = end
	}
	p.row, p.read = *row, row.Next
	if err := p.loadLetters(ctx); err != nil {
		return err
	}
	p.row.At = p.d.now()
	return p.d.store.CommitEvents(ctx, &registrar.EventProgress{Target: &p.row})
}

// loadLetters finds out about which devices letters wait.
func (p *pump) loadLetters(ctx context.Context) error {
	clear(p.lanes)
	p.ready = nil
	no := false
	for from := int64(0); ; {
		const page = 10000
		letters, err := p.d.store.EventLetters(ctx, &registrar.EventQuery{Domain: p.d.domain, Target: p.t.Name, Dead: &no, From: from, Limit: page})
		if err != nil {
			return err
		}
		for _, l := range letters {
			p.lane(l.Device, l.Seq).letters++
			from = l.Seq + 1
		}
		if len(letters) < page {
			break
		}
	}
	for _, l := range p.lanes { // tried at once: how long ago it was is nothing that a clock could be trusted with
		p.settle(l)
	}
	return nil
}

// fill reads the trail into the window.
func (p *pump) fill(ctx context.Context) {
	for p.behind && len(p.items) < buffer && !time.Now().Before(p.storeAt) && ctx.Err() == nil {
		n, err := p.readSome(ctx)
		if err != nil {
			p.storeFailed(ctx, err)
			return
		}
		if n == 0 {
			p.behind = false
		}
	}
}

func (p *pump) storeFailed(ctx context.Context, err error) {
	p.storeAt = time.Now().Add(storeWait)
	if ctx.Err() == nil {
		p.d.log.ErrorContext(ctx, "events: the store", slog.String("target", p.t.Name), slog.Any("error", err))
	}
}

func (p *pump) readSome(ctx context.Context) (int, error) {
	entries, err := p.d.store.TrailEntries(ctx, p.d.domain, "", p.read, min(readAtOnce, buffer-len(p.items)))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		m, err := p.message(ctx, e)
		if err != nil {
			return 0, err
		}
		p.read = e.Seq + 1
		if m != nil {
			p.add(m)
		}
	}
	return len(entries), nil
}

// message is the entry as the target gets it; nil where it gets none.
func (p *pump) message(ctx context.Context, e *trail.Entry) (*Message, error) {
	if !p.d.builder.mayBe(e.Kind, p.t) {
		return nil, nil //nolint:nilnil // most entries
	}
	event, err := p.d.builder.Build(ctx, e)
	if err != nil || event == nil || !p.t.wants(event.Type) {
		return nil, err
	}
	return event.message()
}

// add puts an event into the window, or to the letters of its device.
func (p *pump) add(m *Message) {
	l := p.lane(m.Device, m.Seq)
	if l.letters > 0 { // those come first
		p.letter(&registrar.EventLetter{Seq: m.Seq, Device: m.Device})
		l.letters++
		return
	}
	it := &item{m: m, lane: l}
	l.items = append(l.items, it)
	p.items = append(p.items, it)
	p.settle(l)
}

// launch sends what is due.
func (p *pump) launch(ctx, send context.Context) {
	now := time.Now()
	for len(p.ready) > 0 && p.flying < p.atOnce() && !p.ready[0].due.After(now) && !now.Before(p.storeAt) {
		if p.down() && now.Before(p.downTill) {
			return
		}
		l := p.ready[0]
		it, err := p.head(ctx, l)
		if err != nil {
			p.storeFailed(ctx, err)
			return
		}
		if it == nil { // the letter is gone, or is no event any more
			p.settle(l)
			continue
		}
		l.flying = it
		heap.Remove(&p.ready, l.at)
		p.flying++
		l.began = time.Now()
		go func() {
			answer, err := p.t.Sender.Send(send, it.m)
			p.results <- result{it: it, answer: answer, err: err}
		}()
	}
}

func (p *pump) down() bool { return len(p.failing) >= downLanes }

func (p *pump) atOnce() int {
	if p.down() {
		return 1
	}
	return p.t.Window
}

// head is what the lane sends next.
func (p *pump) head(ctx context.Context, l *lane) (*item, error) {
	if l.letters == 0 {
		return l.items[0], nil
	}
	if p.dirty[l.key] { // the letter may be among what is not on record yet
		if !p.flush(ctx) {
			return nil, errors.New("a letter is not on record")
		}
	}
	no := false
	letters, err := p.d.store.EventLetters(ctx, &registrar.EventQuery{Domain: p.d.domain, Target: p.t.Name, Device: l.device, Dead: &no, From: l.only0(), Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(letters) == 0 || letters[0].Device != l.device || l.device == "" && letters[0].Seq != l.only {
		l.letters = 0
		return nil, nil //nolint:nilnil // it was dropped
	}
	row := letters[0]
	entries, err := p.d.store.TrailEntries(ctx, p.d.domain, "", row.Seq, 1)
	if err != nil {
		return nil, err
	}
	var m *Message
	if len(entries) == 1 && entries[0].Seq == row.Seq {
		event, err := p.d.builder.Build(ctx, entries[0])
		if err != nil {
			return nil, err
		}
		if event != nil {
			if m, err = event.message(); err != nil {
				return nil, err
			}
		}
	}
	if m == nil {
		l.letters--
		p.dropLetter(row.Seq, row.Device)
		return nil, nil //nolint:nilnil // the trail has no such event
	}
	return &item{m: m, lane: l, letter: true, tries: row.Tries}, nil
}

// only0 is where a query for the lane's letters begins.
func (l *lane) only0() int64 {
	if l.device == "" {
		return l.only
	}
	return 0
}

// nap is how long there is nothing to do, as far as is known now.
func (p *pump) nap() time.Duration {
	now, wait := time.Now(), time.Hour
	until := func(t time.Time) { wait = max(min(wait, t.Sub(now)), 0) }
	if len(p.ready) > 0 && p.flying < p.atOnce() {
		due := p.ready[0].due
		if p.down() && due.Before(p.downTill) {
			due = p.downTill
		}
		if due.Before(p.storeAt) {
			due = p.storeAt
		}
		until(due)
	}
	if !p.since.IsZero() {
		due := p.since.Add(flushAfter)
		if due.Before(p.storeAt) {
			due = p.storeAt
		}
		until(due)
	}
	switch {
	case len(p.items) >= buffer && p.items[0].lane.flying != nil:
		if due := p.items[0].lane.began.Add(hangs); due.After(now) {
			until(due)
		}
	case p.behind && len(p.items) < buffer:
		until(p.storeAt)
	}
	return wait
}
