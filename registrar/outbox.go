package registrar

import (
	"context"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Outbox is what is kept about events on their way to other systems. The events
// themselves are the trail's entries: each is on record in the same transaction as
// what it tells of. registrar/events delivers them.
//
// An EventTarget that is not on record is ErrNotFound. CommitEvents applies the whole
// EventProgress, or nothing, and returns once it is durable.
type Outbox interface {
	// TrailEnd returns the sequence number that the next entry of any domain will have.
	TrailEnd(ctx context.Context) (int64, error)
	EventTarget(ctx context.Context, domain, name string) (*EventTarget, error)
	EventLetters(ctx context.Context, q *EventQuery) ([]*EventLetter, error)
	EventReceipts(ctx context.Context, q *EventQuery) ([]*EventReceipt, error)
	CommitEvents(ctx context.Context, p *EventProgress) error
}

// EventTarget is how far a target is.
type EventTarget struct {
	Domain    string
	Name      string
	Next      int64     // every entry before it is delivered, is a letter, or is no event for the target
	At        time.Time // when the row was last written
	Delivered int64     // events delivered since the target is there, duplicates included
	Waiting   int64     // letters that wait; read only
	Dead      int64     // dead letters; read only
}

// EventLetter is an event that left the row: it waits for another try, and so
// does what is about the same device after it, or it is dead.
type EventLetter struct {
	Domain string
	Target string
	Seq    int64  // of the trail's entry
	Device string // Entry.Device
	Dead   bool
	Tries  int
	Answer string    // of the newest try, such as "503"
	At     time.Time // of the newest try, or when it left the row
}

// EventReceipt says that a target has taken an event, the last time that it did.
type EventReceipt struct {
	Domain string
	Target string
	Seq    int64
	Device string
	At     time.Time
	Answer string
}

// EventQuery asks for letters or receipts in the order of their sequence numbers.
// Zero fields but From and Limit do not filter.
type EventQuery struct {
	Domain string // required
	Target string
	Device string // Entry.Device
	Dead   *bool  // letters only
	From   int64  // sequence number, inclusive
	Limit  int    // 1 to 10000
}

// EventProgress is one transaction of a target.
type EventProgress struct {
	Target   *EventTarget    // as it is to be, but for Waiting and Dead
	Receipts []*EventReceipt // insert or replace
	Put      []*EventLetter  // insert or replace
	Drop     []*EventLetter  // by target and Seq
	// Forget drops receipts of the target from before that time; zero for none.
	Forget time.Time
	Trail  []*trail.Entry
}

// The kinds of entries about events; they are no events themselves.
const (
	KindEventDead      = "event-dead"      // a target does not take it
	KindEventsReplayed = "events-replayed" // an operator had them sent again
	KindEventDropped   = "event-dropped"   // an operator gave a dead letter up
)

// Events are the events as operators see and steer them; registrar/events has them.
type Events interface {
	// EventTargets returns the targets of the configuration in order of name.
	EventTargets(ctx context.Context) ([]*EventTargetView, error)
	// ListEvents returns events of the trail, with what became of each.
	ListEvents(ctx context.Context, q *EventList) ([]*EventView, error)
	// DeadLetters returns dead letters; Domain and Dead of the query are filled in.
	DeadLetters(ctx context.Context, q *EventQuery) ([]*EventLetter, error)
	// ReplayEvents has events sent again, or dead letters given up. It returns how many
	// there are to be sent; -1 where that is all from a place on.
	ReplayEvents(ctx context.Context, r *EventReplay) (int, error)
	// TestEvent sends a target one event that is on no trail, and returns its answer.
	TestEvent(ctx context.Context, target, actor string) (string, error)
}

// EventTargetView is a target and how far it is.
type EventTargetView struct {
	EventTarget
	Types []string
	Kind  string // "webhook", "mqtt" or "nats"
	Down  bool   // it took none of the newest events
	End   int64  // the next entry of the trail
}

// EventList asks for events in the order of the trail. Zero fields do not filter.
type EventList struct {
	Type   string // a pattern, such as "briskest.device.*"
	Device string // its ID
	From   int64  // sequence number, inclusive
	Limit  int    // 1 to 1000
}

// EventView is an event and what became of it.
type EventView struct {
	Seq      int64
	Event    []byte // the CloudEvent
	Receipts []*EventReceipt
	Letters  []*EventLetter
}

// EventReplay says which events of a target are sent again: all from From on, or the dead
// letters that the other fields name.
type EventReplay struct {
	Actor  string
	Target string
	From   *int64  // sequence number of the trail
	Seqs   []int64 // events, dead letters or not
	Dead   bool    // all dead letters, of the Device if there is one
	Device string
	Drop   bool // the dead letters are given up instead
}

// Events are the domain's. ErrNotFound: it has none, or is not this service's.
func (s *Service) Events(domain string) (Events, error) {
	if _, err := s.inDomain(domain); err != nil {
		return nil, err
	}
	if s.events == nil {
		return nil, fmt.Errorf("events: %w", ErrNotFound)
	}
	return s.events, nil
}
