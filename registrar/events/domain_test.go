package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
)

// R8 and issue 6, point 3: two domains on one trail, with targets of the same name. Each gets, lists, replays and gives up what
// is its own, whatever of the other's it is asked for.
func TestADispatcherHasItsOwnDomainsEventsOnly(t *testing.T) {
	w := newWorld(t)
	south := events.New(events.Config{Domain: "south", Store: w.store, Records: w.store})
	t.Cleanup(south.Close)
	rejecting := func(domain string, foreign *[]string) *stub {
		return &stub{send: func(_ context.Context, m *events.Message) (string, error) {
			var e events.Event
			if err := json.Unmarshal(m.Body, &e); err != nil || m.Domain != domain || e.Data.Domain != domain {
				*foreign = append(*foreign, string(m.Body))
			}
			if m.Device == deviceID(1) {
				return "400", events.ErrRejected // a dead letter
			}
			return "204", nil
		}}
	}
	var here, there []string
	mine, theirs := rejecting(registrar.DefaultDomain, &here), rejecting("south", &there)
	s := &events.Settings{Source: "https://south.example", Targets: []*events.Target{quick("crm", theirs), quick("south-only", theirs)}}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	south.Set(s)
	for n := range 3 { // the same devices' IDs in both
		w.happen(n, 2)
		w.happenIn("south", n, 2)
	}
	w.start(quick("crm", mine))
	south.Start()
	caught := func(d *events.Dispatcher, name string) func() bool { // 4 taken, 2 dead
		return func() bool {
			list, err := d.EventTargets(t.Context())
			for _, v := range list {
				if v.Name == name {
					return err == nil && v.Delivered == 4 && v.Dead == 2 && v.Waiting == 0
				}
			}
			return false
		}
	}
	until(t, "the one domain", caught(w.d, "crm"))
	until(t, "the other", caught(south, "crm"))
	until(t, "the other's second", caught(south, "south-only"))
	if len(here)+len(there) > 0 {
		t.Errorf("a target got another domain's events: %v %v", here, there)
	}
	of := func(d *events.Dispatcher, domain string) (seqs []int64) {
		list, err := d.ListEvents(t.Context(), &registrar.EventList{Limit: 100})
		if err != nil || len(list) != 6 {
			t.Fatalf("ListEvents of %s: %d, %v; want 6", domain, len(list), err)
		}
		for _, v := range list {
			var e events.Event
			if err := json.Unmarshal(v.Event, &e); err != nil || e.Data.Domain != domain {
				t.Errorf("%s lists %s", domain, v.Event)
			}
			for _, r := range v.Receipts {
				if r.Domain != domain {
					t.Errorf("%s sees a receipt of %s", domain, r.Domain)
				}
			}
			seqs = append(seqs, v.Seq)
		}
		return seqs
	}
	own, foreign := of(w.d, registrar.DefaultDomain), of(south, "south")
	dead, err := w.d.DeadLetters(t.Context(), &registrar.EventQuery{Domain: "south", Limit: 100}) // whatever is asked for
	if err != nil || len(dead) != 2 {
		t.Fatalf("DeadLetters: %d, %v; want 2", len(dead), err)
	}
	theirDead, err := south.DeadLetters(t.Context(), &registrar.EventQuery{Target: "crm", Limit: 100})
	if err != nil || len(theirDead) != 2 {
		t.Fatalf("DeadLetters of the other: %d, %v; want 2", len(theirDead), err)
	}
	for what, r := range map[string]*registrar.EventReplay{
		"its target":                  {Target: "south-only", Dead: true},
		"an event of its trail":       {Target: "crm", Seqs: foreign[:1]},
		"one of one's own beside one": {Target: "crm", Seqs: []int64{own[0], foreign[0]}},
		"its dead letter":             {Target: "crm", Seqs: []int64{theirDead[0].Seq}, Drop: true},
	} {
		if n, err := w.d.ReplayEvents(t.Context(), r); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("a replay of %s: %d, %v; want ErrNotFound", what, n, err)
		}
	}
	if answer, err := w.d.TestEvent(t.Context(), "south-only", "cli:test"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("TestEvent of its target: %q, %v; want ErrNotFound", answer, err)
	}
	if n, err := w.d.ReplayEvents(t.Context(), &registrar.EventReplay{Target: "crm", Dead: true, Drop: true}); err != nil || n != 2 {
		t.Errorf("giving one's own dead letters up: %d, %v; want 2", n, err)
	}
	if left, err := south.DeadLetters(t.Context(), &registrar.EventQuery{Target: "crm", Limit: 100}); err != nil || len(left) != 2 {
		t.Errorf("the other has %d dead letters left, %v; want its 2", len(left), err)
	}
}

// happenIn is happen in another domain.
func (w *world) happenIn(domain string, device, n int) {
	w.t.Helper()
	change := &registrar.Change{}
	for range n {
		change.Trail = append(change.Trail, &trail.Entry{
			At: time.Now().UTC(), Domain: domain, Kind: registrar.KindDeviceState, Device: deviceID(device), Actor: "cli:test",
			Body: json.RawMessage(`{"from":"enrolled","to":"suspended"}`),
		})
	}
	if err := w.store.Commit(context.Background(), change); err != nil {
		w.t.Errorf("Commit: %v", err)
	}
}
