package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Kinder is a Sender that says what it is: "webhook", "mqtt" or "nats".
type Kinder interface{ Kind() string }

// EventTargets implements registrar.Events.
func (d *Dispatcher) EventTargets(ctx context.Context) ([]*registrar.EventTargetView, error) {
	end, err := d.store.TrailEnd(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	var views []*registrar.EventTargetView
	for _, p := range d.pumps {
		v := &registrar.EventTargetView{EventTarget: registrar.EventTarget{Domain: d.domain, Name: p.t.Name}, Types: p.t.Types, Down: p.isDown.Load(), End: end}
		if k, ok := p.t.Sender.(Kinder); ok {
			v.Kind = k.Kind()
		}
		views = append(views, v)
	}
	d.mu.Unlock()
	slices.SortFunc(views, func(a, b *registrar.EventTargetView) int { return strings.Compare(a.Name, b.Name) })
	for _, v := range views {
		row, err := d.store.EventTarget(ctx, d.domain, v.Name)
		switch {
		case errors.Is(err, registrar.ErrNotFound): // it was added a moment ago
		case err != nil:
			return nil, err
		default:
			v.EventTarget = *row
		}
	}
	return views, nil
}

const maxEvents = 1000 // of one answer

// ListEvents implements registrar.Events.
func (d *Dispatcher) ListEvents(ctx context.Context, q *registrar.EventList) ([]*registrar.EventView, error) {
	if q.Type != "" {
		if err := checkPattern(q.Type); err != nil {
			return nil, fmt.Errorf("%w: %w", err, registrar.ErrInvalid)
		}
	}
	limit := q.Limit
	if limit < 1 || limit > maxEvents {
		limit = maxEvents
	}
	d.mu.Lock()
	builder := d.builder
	d.mu.Unlock()
	var views []*registrar.EventView
	for from := q.From; len(views) < limit; {
		entries, err := d.store.TrailEntries(ctx, d.domain, q.Device, from, readAtOnce)
		if err != nil || len(entries) == 0 {
			return views, err
		}
		for _, e := range entries {
			from = e.Seq + 1
			event, err := builder.Build(ctx, e)
			if err != nil {
				return nil, err
			}
			if event == nil || q.Type != "" && !match(q.Type, event.Type) {
				continue
			}
			v, err := d.view(ctx, event)
			if err != nil {
				return nil, err
			}
			if views = append(views, v); len(views) == limit {
				break
			}
		}
	}
	return views, nil
}

// view adds what became of the event.
func (d *Dispatcher) view(ctx context.Context, event *Event) (*registrar.EventView, error) {
	body, err := event.JSON()
	if err != nil {
		return nil, err
	}
	const targets = 100
	v := &registrar.EventView{Seq: event.seq, Event: body}
	q := &registrar.EventQuery{Domain: d.domain, From: event.seq, Limit: targets}
	receipts, err := d.store.EventReceipts(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, r := range receipts {
		if r.Seq == event.seq {
			v.Receipts = append(v.Receipts, r)
		}
	}
	letters, err := d.store.EventLetters(ctx, q)
	for _, l := range letters {
		if l.Seq == event.seq {
			v.Letters = append(v.Letters, l)
		}
	}
	return v, err
}

// DeadLetters implements registrar.Events.
func (d *Dispatcher) DeadLetters(ctx context.Context, q *registrar.EventQuery) ([]*registrar.EventLetter, error) {
	yes := true
	of := *q
	of.Domain, of.Dead = d.domain, &yes
	if of.Limit < 1 || of.Limit > maxLetters {
		of.Limit = maxLetters
	}
	return d.store.EventLetters(ctx, &of)
}

const maxLetters = 10000 // that one call revives or drops

// ReplayEvents implements registrar.Events.
func (d *Dispatcher) ReplayEvents(ctx context.Context, r *registrar.EventReplay) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pumps[r.Target]
	if p == nil {
		return 0, fmt.Errorf("target %q is not in the configuration: %w", r.Target, registrar.ErrNotFound)
	}
	switch ways := btoi(r.From != nil) + btoi(len(r.Seqs) > 0) + btoi(r.Dead); {
	case ways != 1:
		return 0, fmt.Errorf("name one of: a place on the trail to go on from, events, dead letters: %w", registrar.ErrInvalid)
	case r.From != nil && (r.Drop || r.Device != ""), len(r.Seqs) > maxLetters:
		return 0, fmt.Errorf("a replay from a place on is of all events, and one of events is of %d at most: %w", maxLetters, registrar.ErrInvalid)
	}
	p.cancel() // what it has in the window comes again, from the cursor
	<-p.stopped
	defer d.hang()
	defer d.start(p.t)
	row, err := d.store.EventTarget(ctx, d.domain, r.Target)
	if err != nil {
		return 0, err
	}
	progress := &registrar.EventProgress{Target: row}
	n, err := d.plan(ctx, r, progress)
	if err != nil || n == 0 {
		return n, err
	}
	return n, d.store.CommitEvents(ctx, progress)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// plan fills in what a replay changes.
func (d *Dispatcher) plan(ctx context.Context, r *registrar.EventReplay, progress *registrar.EventProgress) (int, error) {
	about := map[string]any{"target": r.Target}
	kind, n := registrar.KindEventsReplayed, -1
	if r.From != nil {
		if *r.From < 0 || *r.From > progress.Target.Next {
			return 0, fmt.Errorf("the target is at %d of the trail: replay from a place before: %w", progress.Target.Next, registrar.ErrInvalid)
		}
		progress.Target.Next, about["from"] = *r.From, *r.From
	} else {
		letters, err := d.letters(ctx, r)
		if err != nil || len(letters) == 0 {
			return 0, err
		}
		n = len(letters)
		about["events"], about["first"], about["last"] = n, letters[0].Seq, letters[n-1].Seq
		if r.Drop {
			kind, progress.Drop = registrar.KindEventDropped, letters
		} else {
			progress.Put = letters
		}
	}
	body, err := json.Marshal(about)
	if err != nil {
		return 0, err
	}
	progress.Trail = []*trail.Entry{{At: d.now().UTC(), Domain: d.domain, Kind: kind, Actor: r.Actor, Body: body}}
	return n, nil
}

// letters are those that a replay, or a drop, is about.
func (d *Dispatcher) letters(ctx context.Context, r *registrar.EventReplay) ([]*registrar.EventLetter, error) {
	yes := true
	q := &registrar.EventQuery{Domain: d.domain, Target: r.Target, Device: r.Device, Dead: &yes, Limit: maxLetters}
	if r.Dead {
		dead, err := d.store.EventLetters(ctx, q)
		for _, l := range dead {
			l.Dead, l.Tries, l.At = false, 0, d.now()
		}
		return dead, err
	}
	var letters []*registrar.EventLetter
	slices.Sort(r.Seqs)
	for _, seq := range slices.Compact(r.Seqs) {
		if r.Drop {
			q.From, q.Limit = seq, 1
			dead, err := d.store.EventLetters(ctx, q)
			if err != nil {
				return nil, err
			}
			if len(dead) != 1 || dead[0].Seq != seq {
				return nil, fmt.Errorf("target %q has no dead letter %d: %w", r.Target, seq, registrar.ErrNotFound)
			}
			letters = append(letters, dead[0])
			continue
		}
		entries, err := d.store.TrailEntries(ctx, d.domain, "", seq, 1)
		if err != nil {
			return nil, err
		}
		if len(entries) != 1 || entries[0].Seq != seq {
			return nil, fmt.Errorf("the trail has no event %d: %w", seq, registrar.ErrNotFound)
		}
		event, err := d.builder.Build(ctx, entries[0])
		if err != nil {
			return nil, err
		}
		if event == nil {
			return nil, fmt.Errorf("entry %d of the trail is no event: %w", seq, registrar.ErrNotFound)
		}
		letters = append(letters, &registrar.EventLetter{Domain: d.domain, Target: r.Target, Seq: seq, Device: entries[0].Device, At: d.now()})
	}
	return letters, nil
}

// TestEvent implements registrar.Events.
func (d *Dispatcher) TestEvent(ctx context.Context, target, actor string) (string, error) {
	d.mu.Lock()
	p, builder := d.pumps[target], d.builder
	d.mu.Unlock()
	if p == nil {
		return "", fmt.Errorf("target %q is not in the configuration: %w", target, registrar.ErrNotFound)
	}
	m, err := builder.test(d.domain, actor, d.now()).message()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	answer, err := p.t.Sender.Send(ctx, m)
	return brief(answer), err
}
