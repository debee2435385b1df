package events_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
)

func readFull(r *http.Request, b []byte) (int, error) { return io.ReadFull(r.Body, b) }

// M10, M30: signed CloudEvents, at least once, with a receipt.
func TestAWebhookGetsEachEventSignedAndInOrderWithAReceiptOnRecord(t *testing.T) {
	w := newWorld(t)
	const devices, each = 20, 10
	r, s := newReceiver(t, nil)
	w.start(target(t, "crm", s.URL))
	var wg sync.WaitGroup
	want := map[string]int{}
	for n := range devices {
		want[deviceID(n)] = each
		wg.Go(func() { w.happen(n, each) })
	}
	wg.Wait()
	until(t, "all events", func() bool { return len(r.ids()) == devices*each })
	r.inOrder(want)
	until(t, "the receipts", func() bool { return w.view("crm").Next == w.view("crm").End })
	list, err := w.d.ListEvents(t.Context(), &registrar.EventList{Device: deviceID(3), Limit: 100})
	if err != nil || len(list) != each {
		t.Fatalf("ListEvents = %d, %v, want %d", len(list), err, each)
	}
	for _, v := range list {
		if len(v.Receipts) != 1 || v.Receipts[0].Answer != "204" || v.Receipts[0].Target != "crm" {
			t.Errorf("event %d: receipts %+v, want one of crm with 204", v.Seq, v.Receipts)
		}
	}
	if v := w.view("crm"); v.Delivered != devices*each || v.Dead != 0 || v.Waiting != 0 || v.Kind != "webhook" || v.Down {
		t.Errorf("EventTargets = %+v", v)
	}
}

func (w *world) view(target string) *registrar.EventTargetView {
	w.t.Helper()
	list, err := w.d.EventTargets(context.Background())
	if err != nil {
		w.t.Fatalf("EventTargets: %v", err)
	}
	for _, v := range list {
		if v.Name == target {
			return v
		}
	}
	w.t.Fatalf("there is no target %s", target)
	return nil
}

func TestWithoutTargetsNothingIsReadAndNothingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.happen(0, 10)
	if _, err := w.store.EventTarget(t.Context(), registrar.DefaultDomain, "crm"); err == nil {
		t.Error("there is a row of a target")
	}
	if n := testing.AllocsPerRun(100, w.d.Wake); n != 0 {
		t.Errorf("Wake without targets allocates %v times, want 0", n)
	}
}

// An event that is never taken holds up its device until it is dead, and nobody else.
func TestAPoisonEventBlocksNoOtherDeviceAndBecomesADeadLetter(t *testing.T) {
	for name, poisoned := range map[string]error{
		"refused as it is":       fmt.Errorf("%w: status 422", events.ErrRejected),
		"answered with an error": fmt.Errorf("%w: status 500", events.ErrFailed),
		"never answered":         fmt.Errorf("%w: no answer in time", events.ErrUnavailable),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			poison, good := deviceID(0), &stub{}
			var healed atomic.Bool
			good.send = func(_ context.Context, m *events.Message) (string, error) {
				if m.Device == poison && m.Seq == 0 && !healed.Load() {
					return "", poisoned
				}
				return "ok", nil
			}
			to := quick("crm", good)
			to.Tries = 4
			w.start(to)
			w.happen(0, 3)
			w.happen(1, 1100) // more than the window holds
			until(t, "the others", func() bool { return good.count() >= 1100 })
			if strings.HasPrefix(name, "never") { // tries count while others arrive
				for n := 0; w.view("crm").Dead == 0 && n < 200; n++ {
					w.happen(2, 1)
					until(t, "one more", func() bool { return w.view("crm").Next >= w.view("crm").End || w.view("crm").Dead > 0 })
				}
			}
			until(t, "the dead letter", func() bool { return w.view("crm").Dead == 1 && w.view("crm").Waiting == 0 })
			if !good.has("1") || !good.has("2") {
				t.Error("what is about the device after the dead letter did not arrive")
			}
			dead, err := w.d.DeadLetters(t.Context(), &registrar.EventQuery{})
			if err != nil || len(dead) != 1 || dead[0].Seq != 0 || !strings.Contains(poisoned.Error(), dead[0].Answer) || dead[0].Answer == "" {
				t.Fatalf("DeadLetters = %+v, %v", dead, err)
			}
			if found := w.entries(registrar.KindEventDead); len(found) != 1 || found[0].Device != poison {
				t.Errorf("the trail has %d entries about the dead letter, want 1", len(found))
			}
			healed.Store(true)
			if n, err := w.d.ReplayEvents(t.Context(), &registrar.EventReplay{Actor: "cli:test", Target: "crm", Dead: true}); n != 1 || err != nil {
				t.Fatalf("ReplayEvents = %d, %v, want 1", n, err)
			}
			until(t, "the replay", func() bool { return good.has("0") && w.view("crm").Dead == 0 && w.view("crm").Waiting == 0 })
		})
	}
}

func (w *world) entries(kind string) []*trail.Entry {
	w.t.Helper()
	list, err := w.store.TrailEntries(context.Background(), registrar.DefaultDomain, "", 0, 10000)
	if err != nil {
		w.t.Fatalf("TrailEntries: %v", err)
	}
	var found []*trail.Entry
	for _, e := range list {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// However long it lasts: what could not be told is told later.
func TestATargetThatIsDownLosesNothingAndGetsNoDeadLetters(t *testing.T) {
	w := newWorld(t)
	var down atomic.Bool
	down.Store(true)
	var tries atomic.Int64
	s := &stub{send: func(context.Context, *events.Message) (string, error) {
		tries.Add(1)
		if down.Load() {
			return "", fmt.Errorf("%w: connection refused", events.ErrUnavailable)
		}
		return "ok", nil
	}}
	to := quick("crm", s)
	to.Tries = 3
	w.start(to)
	for n := range 30 {
		w.happen(n, 5)
	}
	until(t, "many tries", func() bool { return tries.Load() > 100 && w.view("crm").Down })
	if v := w.view("crm"); v.Dead != 0 || v.Waiting != 0 || v.Delivered != 0 {
		t.Errorf("while it is down: %+v, want nothing delivered, waiting or dead", v)
	}
	down.Store(false)
	until(t, "all events", func() bool { return s.count() == 150 })
	if v := w.view("crm"); v.Down {
		t.Error("the target still counts as down")
	}
}

// M10: the same whether the target was gone, the registrar, or both.
func TestNothingIsLostAcrossRestartsAndWhatComesTwiceHasTheSameID(t *testing.T) {
	w := newWorld(t)
	var odd atomic.Int64
	r, s := newReceiver(t, func(_ *http.Request, e *got) int {
		if odd.Add(1)%7 == 0 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	want := map[string]int{}
	for round := range 5 {
		w.start(target(t, "crm", s.URL))
		for n := range 20 {
			w.happen(n, 3)
			want[deviceID(n)] += 3
		}
		if round < 4 {
			w.close()
			w.open()
		}
	}
	until(t, "all events", func() bool { return len(r.ids()) == 300 })
	r.inOrder(want)
}

func TestATargetThatIsAddedAgainGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	s := &stub{send: func(context.Context, *events.Message) (string, error) { return "ok", nil }}
	w.start(quick("crm", s))
	w.happen(0, 5)
	until(t, "the first", func() bool { return s.count() == 5 })
	w.start()
	w.happen(0, 5)
	late := quick("other", s)
	late.FromStart = false
	w.start(quick("crm", s), late)
	until(t, "the rest", func() bool { return s.count() == 10 })
	until(t, "the new one", func() bool { return w.view("other").Next == 10 })
	if v := w.view("other"); v.Delivered != 0 {
		t.Errorf("a new target got %d events from before it was there, want 0", v.Delivered)
	}
}

// Such as after a restore: it must not wait until the trail has grown as long again.
func TestACursorBeyondTheTrailsEndGoesBackToIt(t *testing.T) {
	w := newWorld(t)
	w.happen(0, 3)
	if err := w.store.CommitEvents(t.Context(), &registrar.EventProgress{Target: &registrar.EventTarget{Domain: registrar.DefaultDomain, Name: "crm", Next: 1000, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	s := &stub{send: func(context.Context, *events.Message) (string, error) { return "ok", nil }}
	w.start(quick("crm", s))
	until(t, "the cursor", func() bool { return w.view("crm").Next == 3 })
	w.happen(0, 2)
	until(t, "what comes after", func() bool { return s.count() == 2 })
	if !strings.Contains(w.logged.String(), "ahead of the trail") {
		t.Errorf("nothing is logged: %s", w.logged)
	}
}

// M30: replay.
func TestAReplaySendsTheSameEventsAgain(t *testing.T) {
	w := newWorld(t)
	r, s := newReceiver(t, nil)
	w.start(target(t, "crm", s.URL))
	w.happen(0, 10)
	until(t, "the first time", func() bool { return len(r.ids()) == 10 && w.view("crm").Next == 10 })
	replay := func(in registrar.EventReplay) int {
		in.Actor, in.Target = "cli:test", "crm"
		n, err := w.d.ReplayEvents(t.Context(), &in)
		if err != nil {
			t.Fatalf("ReplayEvents(%+v): %v", in, err)
		}
		return n
	}
	from := int64(4)
	if n := replay(registrar.EventReplay{From: &from}); n != -1 {
		t.Errorf("ReplayEvents from a place = %d, want -1", n)
	}
	until(t, "six again", func() bool { return w.view("crm").Delivered == 16 })
	if n := replay(registrar.EventReplay{Seqs: []int64{2, 0, 2}}); n != 2 {
		t.Errorf("ReplayEvents of two = %d", n)
	}
	until(t, "two again", func() bool { return w.view("crm").Delivered == 18 && w.view("crm").Waiting == 0 })
	for id, n := range r.ids() {
		if n > 2 {
			t.Errorf("%s came %d times, want 2 at most", id, n)
		}
	}
	r.inOrder(map[string]int{deviceID(0): 10})
	for _, in := range []registrar.EventReplay{{}, {Seqs: []int64{10_000}}, {From: ptr(int64(500))}, {From: &from, Dead: true}, {Seqs: []int64{1}, Drop: true}} {
		in.Target = "crm"
		if _, err := w.d.ReplayEvents(t.Context(), &in); err == nil {
			t.Errorf("ReplayEvents(%+v) is done, want an error", in)
		}
	}
	if _, err := w.d.ReplayEvents(t.Context(), &registrar.EventReplay{Target: "nobody", Dead: true}); err == nil {
		t.Error("ReplayEvents of an unknown target is done, want an error")
	}
	if n := len(w.entries(registrar.KindEventsReplayed)); n != 2 {
		t.Errorf("the trail has %d entries about replays, want 2", n)
	}
}

func ptr[T any](v T) *T { return &v }

func TestATestEventArrivesAndIsOnNoTrail(t *testing.T) {
	w := newWorld(t)
	r, s := newReceiver(t, nil)
	w.start(target(t, "crm", s.URL))
	answer, err := w.d.TestEvent(t.Context(), "crm", "cli:test")
	if err != nil || answer != "204" {
		t.Errorf("TestEvent = %q, %v, want 204", answer, err)
	}
	if len(r.ids()) != 1 || r.all[0].Type != events.Test {
		t.Errorf("the receiver has %v", r.ids())
	}
	if end, err := w.store.TrailEnd(t.Context()); end != 0 || err != nil {
		t.Errorf("TrailEnd = %d, %v, want 0", end, err)
	}
}

func TestTargetsThatMakeNoSenseAreRefused(t *testing.T) {
	s := &stub{}
	for name, bad := range map[string]*events.Target{
		"no name":        {Sender: s},
		"odd name":       {Name: "CRM one", Sender: s},
		"no sender":      {Name: "crm"},
		"odd pattern":    {Name: "crm", Sender: s, Types: []string{"["}},
		"unknown type":   {Name: "crm", Sender: s, Types: []string{"briskest.device.enroled.v1"}},
		"window":         {Name: "crm", Sender: s, Window: 257},
		"negative tries": {Name: "crm", Sender: s, Tries: -1},
	} {
		if err := (&events.Settings{Targets: []*events.Target{bad}}).Check(); err == nil {
			t.Errorf("%s: Check takes it", name)
		}
	}
	twice := &events.Target{Name: "crm", Sender: s}
	if err := (&events.Settings{Targets: []*events.Target{twice, twice}}).Check(); err == nil {
		t.Error("Check takes a target twice")
	}
}
