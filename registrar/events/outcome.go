package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// came takes in how a try ended.
func (p *pump) came(ctx context.Context, r result) {
	p.flying--
	l := r.it.lane
	l.flying = nil
	switch {
	case r.err == nil:
		p.delivered(r)
	case ctx.Err() != nil || errors.Is(r.err, context.Canceled): // told to stop: nobody's fault
	case errors.Is(r.err, ErrRejected):
		p.success = time.Now() // it is there, and reads what it gets
		p.bury(ctx, r)
	default:
		p.failed(ctx, r)
	}
	p.settle(l)
}

func (p *pump) delivered(r result) {
	l := r.it.lane
	p.success = time.Now()
	if p.down() { // it is back: no reason to wait any longer
		for _, other := range p.lanes {
			if other.flying == nil && !other.idle() {
				other.due = time.Now()
				p.settle(other)
			}
		}
		p.d.log.Info("events: the target takes events again", slog.String("target", p.t.Name))
	}
	clear(p.failing)
	p.downs = 0
	p.isDown.Store(false)
	l.fails, l.last, l.due = 0, time.Time{}, time.Now()
	p.row.Delivered++
	p.receipts = append(p.receipts, &registrar.EventReceipt{
		Domain: p.d.domain, Target: p.t.Name, Seq: r.it.m.Seq, Device: r.it.m.Device, At: p.d.now(), Answer: brief(r.answer),
	})
	p.changed()
	p.away(r.it)
	if r.it.letter {
		p.dropLetter(r.it.m.Seq, r.it.m.Device)
	}
}

// away takes the event from its lane: it is delivered, or dead.
func (p *pump) away(it *item) {
	it.done = true
	l := it.lane
	if it.letter {
		l.letters--
	} else {
		l.items = l.items[1:]
	}
}

// bury makes a dead letter.
func (p *pump) bury(ctx context.Context, r result) {
	it := r.it
	answer := brief(cause(r.err))
	p.away(it)
	it.lane.fails, it.lane.last, it.lane.due = 0, time.Time{}, time.Now()
	p.letter(&registrar.EventLetter{Seq: it.m.Seq, Device: it.m.Device, Dead: true, Tries: it.tries + 1, Answer: answer})
	body, err := json.Marshal(map[string]any{"target": p.t.Name, "seq": it.m.Seq, "event": it.m.ID, "type": it.m.Type, "tries": it.tries + 1, "answer": answer})
	if err != nil {
		panic("events: internal error: " + err.Error()) // text and numbers only
	}
	p.entries = append(p.entries, &trail.Entry{
		At: p.d.now().UTC(), Domain: p.d.domain, Kind: registrar.KindEventDead, Device: it.m.Device, Actor: "events", Body: body,
	})
	p.d.log.WarnContext(ctx, "event is a dead letter", slog.String("target", p.t.Name), slog.String("event", it.m.ID),
		slog.String("type", it.m.Type), slog.Int("tries", it.tries+1), slog.String("answer", answer))
}

// failed has the event wait. A try counts towards Tries where the target has taken
// something since the one before, or said itself that it is about this event.
func (p *pump) failed(ctx context.Context, r result) {
	it, l, now := r.it, r.it.lane, time.Now()
	alive := p.success.After(l.began) || !l.last.IsZero() && p.success.After(l.last)
	if alive || errors.Is(r.err, ErrFailed) {
		if it.tries+1 >= p.t.Tries {
			p.bury(ctx, r)
			return
		}
		it.tries++
	}
	l.fails++
	l.last = now
	l.due = now.Add(p.t.backoff(l.fails))
	if !it.letter {
		p.failing[l.key] = true
		if p.down() {
			if p.downs == 0 {
				p.d.log.WarnContext(ctx, "events: the target takes none", slog.String("target", p.t.Name), slog.String("answer", brief(cause(r.err))))
			}
			p.downs++
			p.isDown.Store(true)
			p.downTill = now.Add(p.t.backoff(p.downs))
		}
	}
	switch {
	case it.letter:
		p.letter(&registrar.EventLetter{Seq: it.m.Seq, Device: it.m.Device, Tries: it.tries, Answer: brief(cause(r.err))})
	case alive:
		p.spill(l, brief(cause(r.err)))
	}
}

// spill makes letters of what the lane has in the window, so that it holds up the
// others no longer.
func (p *pump) spill(l *lane, answer string) {
	for _, it := range l.items {
		it.letter, it.done = true, true
		l.letters++
		p.letter(&registrar.EventLetter{Seq: it.m.Seq, Device: it.m.Device, Tries: it.tries, Answer: answer})
		answer = ""
	}
	l.items = nil
	delete(p.failing, l.key)
	p.settle(l)
}

// trim moves the cursor past what is done. Where the window is full of what is
// done and the oldest event is not, that one becomes a letter as soon as it is known that the
// target takes others.
func (p *pump) trim() {
	for {
		n := 0
		for n < len(p.items) && p.items[n].done {
			n++
		}
		clear(p.items[:n])
		p.items = p.items[n:]
		if len(p.items) < buffer {
			return
		}
		l := p.items[0].lane
		if !p.success.After(l.began) || l.flying != nil && time.Since(l.began) < hangs {
			return
		}
		p.spill(l, "")
	}
}

// cursor is the sequence number that goes on record.
func (p *pump) cursor() int64 {
	if len(p.items) > 0 {
		return p.items[0].m.Seq
	}
	return p.read
}

func (p *pump) changed() {
	if p.since.IsZero() {
		p.since = time.Now()
	}
}

func (p *pump) letter(l *registrar.EventLetter) {
	l.Domain, l.Target, l.At, l.Answer = p.d.domain, p.t.Name, p.d.now(), brief(l.Answer)
	p.put[l.Seq] = l
	delete(p.drop, l.Seq)
	p.dirty[laneKey(l.Device, l.Seq)] = true
	p.changed()
}

func (p *pump) dropLetter(seq int64, device string) {
	p.drop[seq] = &registrar.EventLetter{Domain: p.d.domain, Target: p.t.Name, Seq: seq}
	delete(p.put, seq)
	p.dirty[laneKey(device, seq)] = true
	p.changed()
}

func (p *pump) flushDue() bool {
	now := time.Now()
	if now.Before(p.storeAt) {
		return false
	}
	if p.cursor() >= p.row.Next+flushSkip {
		return true
	}
	return !p.since.IsZero() && (now.Sub(p.since) >= flushAfter || len(p.receipts)+len(p.put)+len(p.drop) >= flushAt)
}

// flush puts on record what has happened, and says whether it did.
func (p *pump) flush(ctx context.Context) bool {
	next := p.row
	next.Next, next.At = p.cursor(), p.d.now()
	progress := &registrar.EventProgress{Target: &next, Receipts: p.receipts, Trail: p.entries}
	for _, l := range p.put {
		progress.Put = append(progress.Put, l)
	}
	for _, l := range p.drop {
		progress.Drop = append(progress.Drop, l)
	}
	if now := time.Now(); len(p.receipts) > 0 && now.Sub(p.swept) > sweepEvery {
		p.swept, progress.Forget = now, p.d.now().Add(-p.t.Keep)
	}
	if err := p.d.store.CommitEvents(context.WithoutCancel(ctx), progress); err != nil {
		p.storeFailed(ctx, err)
		return false
	}
	p.row = next
	p.receipts, p.entries, p.since = nil, nil, time.Time{}
	clear(p.put)
	clear(p.drop)
	clear(p.dirty)
	return true
}

// cause is the error's text without that of what it wraps to say what it means.
func cause(err error) string {
	text := err.Error()
	for _, kind := range []error{ErrRejected, ErrFailed, ErrUnavailable} {
		text = strings.TrimPrefix(text, kind.Error()+": ")
	}
	return text
}

// brief is text that goes on record: one printable line.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxAnswer)]
}
