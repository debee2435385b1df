package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/briskest/briskest/registrar"
)

// EventTarget is a system that events go to.
type EventTarget struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Types     []string  `json:"types,omitempty"`
	State     string    `json:"state"`     // "up", or "down" when it took none of the newest events
	Next      int64     `json:"next"`      // of the trail
	Behind    int64     `json:"behind"`    // entries of the trail, events or not
	Delivered int64     `json:"delivered"` // in all
	Waiting   int64     `json:"waiting"`   // letters
	Dead      int64     `json:"dead"`      // dead letters
	At        time.Time `json:"at"`
}

// TrailEvent is one event of the trail.
type TrailEvent struct {
	Seq      int64           `json:"seq"`
	Event    json.RawMessage `json:"event"` // the CloudEvent
	Receipts []EventReceipt  `json:"receipts,omitempty"`
	Letters  []EventLetter   `json:"letters,omitempty"`
}

// EventReceipt says that a target took an event.
type EventReceipt struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	Answer string    `json:"answer"`
}

// EventLetter is an event that a target did not take.
type EventLetter struct {
	Target string    `json:"target"`
	Seq    int64     `json:"seq"`
	Device string    `json:"device,omitempty"`
	Dead   bool      `json:"dead"`
	Tries  int       `json:"tries"`
	Answer string    `json:"answer"`
	At     time.Time `json:"at"`
}

// The calls about events.
type (
	// EventList asks for events.
	EventList struct {
		By
		Type   string `query:"type" json:"-" doc:"pattern"`
		Device string `query:"device" json:"-" doc:"ID or serial number"`
		From   int64  `query:"from" json:"-" doc:"sequence number"`
		Limit  int    `query:"limit" json:"-" max:"1000"`
	}
	// Events answers EventList.
	Events struct {
		Events []TrailEvent `json:"events"`
	}
	// EventTargets answers event-targets.
	EventTargets struct {
		Targets []EventTarget `json:"targets"`
	}
	// DeadLetterList asks for dead letters.
	DeadLetterList struct {
		By
		Target string `query:"target" json:"-"`
		Device string `query:"device" json:"-" doc:"ID or serial number"`
		From   int64  `query:"from" json:"-" doc:"sequence number"`
		Limit  int    `query:"limit" json:"-" max:"10000"`
	}
	// DeadLetters answers DeadLetterList.
	DeadLetters struct {
		Letters []EventLetter `json:"letters"`
	}
	// EventReplay has events sent again: all from From on, or those of Seqs, or Dead letters.
	EventReplay struct {
		By
		Target string  `json:"target" required:"true"`
		From   *int64  `json:"from,omitempty"`
		Seqs   []int64 `json:"seqs,omitempty"`
		Dead   bool    `json:"dead,omitempty"`
		Device string  `json:"device,omitempty"` // of Dead; ID or serial number
		Drop   bool    `json:"drop,omitempty"`   // dead letters are given up instead
	}
	// Replayed answers EventReplay.
	Replayed struct {
		Events int `json:"events"` // -1: all from there on
	}
	// EventTest sends a target an event that is on no trail.
	EventTest struct {
		By
		Target string `path:"target" json:"-"`
	}
	// EventTested answers EventTest.
	EventTested struct {
		Answer string `json:"answer"`
	}
)

func eventOperations() []operation {
	return []operation{
		define(Operation{ID: "event-targets", Method: "GET", Path: "/events/targets", Role: Viewer, Summary: "The systems that events go to, and how far each is."}, (*api).eventTargets),
		define(Operation{ID: "event-list", Method: "GET", Path: "/events", Role: Auditor, Summary: "Events of the trail, with who took them."}, (*api).listEvents),
		define(Operation{ID: "event-dead-letters", Method: "GET", Path: "/events/dead-letters", Role: Viewer, Summary: "Events that a target did not take."}, (*api).deadLetters),
		define(Operation{ID: "event-replay", Method: "POST", Path: "/events/replay", Role: Administrator, Summary: "Send events again, or give dead letters up."}, (*api).replayEvents),
		define(Operation{ID: "event-test", Method: "POST", Path: "/events/targets/{target}/test", Role: Administrator, Summary: "Send a target an event that is on no trail."}, (*api).testEvent),
	}
}

func (a *api) eventTargets(ctx context.Context, in *By) (*EventTargets, error) {
	events, err := a.s.Events(in.Domain)
	if err != nil {
		return nil, err
	}
	list, err := events.EventTargets(ctx)
	return &EventTargets{each(list, func(t *registrar.EventTargetView) EventTarget {
		state := "up"
		if t.Down {
			state = "down"
		}
		return EventTarget{t.Name, t.Kind, t.Types, state, t.Next, max(t.End-t.Next, 0), t.Delivered, t.Waiting, t.Dead, t.At}
	})}, err
}

// deviceID turns what a person knows a device by into its ID. One that is unknown has
// no events.
func (a *api) deviceID(ctx context.Context, domain, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	v, err := a.s.Device(ctx, domain, ref)
	if err != nil {
		return "", err
	}
	return v.Device.ID, nil
}

func (a *api) listEvents(ctx context.Context, in *EventList) (*Events, error) {
	events, err := a.s.Events(in.Domain)
	if err != nil {
		return nil, err
	}
	device, err := a.deviceID(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	list, err := events.ListEvents(ctx, &registrar.EventList{Type: in.Type, Device: device, From: in.From, Limit: in.Limit})
	return &Events{each(list, func(v *registrar.EventView) TrailEvent {
		return TrailEvent{v.Seq, v.Event, each(v.Receipts, receiptOut), each(v.Letters, letterOut)}
	})}, err
}

func receiptOut(r *registrar.EventReceipt) EventReceipt {
	return EventReceipt{r.Target, r.At, r.Answer}
}

func letterOut(l *registrar.EventLetter) EventLetter {
	return EventLetter{l.Target, l.Seq, l.Device, l.Dead, l.Tries, l.Answer, l.At}
}

func (a *api) deadLetters(ctx context.Context, in *DeadLetterList) (*DeadLetters, error) {
	events, err := a.s.Events(in.Domain)
	if err != nil {
		return nil, err
	}
	device, err := a.deviceID(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	list, err := events.DeadLetters(ctx, &registrar.EventQuery{Target: in.Target, Device: device, From: in.From, Limit: in.Limit})
	return &DeadLetters{each(list, letterOut)}, err
}

func (a *api) replayEvents(ctx context.Context, in *EventReplay) (*Replayed, error) {
	events, err := a.s.Events(in.Domain)
	if err != nil {
		return nil, err
	}
	device, err := a.deviceID(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	n, err := events.ReplayEvents(ctx, &registrar.EventReplay{
		Actor: in.Actor, Target: in.Target, From: in.From, Seqs: in.Seqs, Dead: in.Dead, Device: device, Drop: in.Drop,
	})
	return &Replayed{n}, err
}

func (a *api) testEvent(ctx context.Context, in *EventTest) (*EventTested, error) {
	events, err := a.s.Events(in.Domain)
	if err != nil {
		return nil, err
	}
	answer, err := events.TestEvent(ctx, in.Target, in.Actor)
	return &EventTested{answer}, err
}

// EventTargets returns the targets of the configuration.
func (c *Client) EventTargets(ctx context.Context) ([]EventTarget, error) {
	out, err := call[EventTargets](ctx, c, "event-targets", &By{})
	if err != nil {
		return nil, err
	}
	return out.Targets, nil
}

// Events lists events.
func (c *Client) Events(ctx context.Context, in EventList) ([]TrailEvent, error) {
	out, err := call[Events](ctx, c, "event-list", &in)
	if err != nil {
		return nil, err
	}
	return out.Events, nil
}

// DeadLetters lists dead letters.
func (c *Client) DeadLetters(ctx context.Context, in DeadLetterList) ([]EventLetter, error) {
	out, err := call[DeadLetters](ctx, c, "event-dead-letters", &in)
	if err != nil {
		return nil, err
	}
	return out.Letters, nil
}

// ReplayEvents has events sent again, or dead letters given up.
func (c *Client) ReplayEvents(ctx context.Context, in EventReplay) (*Replayed, error) {
	return call[Replayed](ctx, c, "event-replay", &in)
}

// TestEvent sends a target an event that is on no trail.
func (c *Client) TestEvent(ctx context.Context, target string) (*EventTested, error) {
	return call[EventTested](ctx, c, "event-test", &EventTest{Target: target})
}
