package events

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"time"
)

// Sender brings events to one target: a webhook, a broker.
type Sender interface {
	// Send returns nil once the target has the event for good: a webhook answered
	// 2xx, a broker confirmed. It says in few words what the target answered, for
	// the receipt. An error wraps ErrRejected, ErrFailed or ErrUnavailable; any other
	// counts as ErrUnavailable. Its text holds no secret. Send is called concurrently,
	// and gives up at its own time or when ctx ends.
	Send(ctx context.Context, m *Message) (answer string, err error)
	// Close ends the connections. Send is not called any more.
	Close()
}

// What an error of Send says about the rest.
var (
	// ErrRejected says that the target never takes this event.
	ErrRejected = errors.New("the target rejects the event")
	// ErrFailed says that the target did not take this event, this time.
	ErrFailed = errors.New("the target did not take the event")
	// ErrUnavailable says that the target takes nothing at present, as far as can be told.
	ErrUnavailable = errors.New("the target cannot be reached")
)

// Message is an event as a Sender gets it.
type Message struct {
	ID     string
	Type   string
	Domain string
	Device string // id, or empty
	Seq    int64
	Body   []byte // the JSON envelope, of media type ContentType
}

// Target is where events go.
type Target struct {
	Name string // as in the configuration; the cursor is kept under it
	// Types are patterns of the types that it gets, such as "briskest.device.*"; empty for all.
	Types  []string
	Sender Sender
	// FromStart has a target that is new get what is on the trail already.
	FromStart bool
	// Window bounds the events under way. Zero: 32; 256 at most. Of a device there is one at a time.
	Window int
	// Retry is the first wait before another try; each one is twice as long, up to
	// RetryMax, with jitter. Zero: 1 s and 1 min.
	Retry, RetryMax time.Duration
	// Tries are how often an event is tried, while the target takes others, before it is
	// a dead letter. Zero: 20.
	Tries int
	// Keep is for how long receipts are kept. Zero: 30 days.
	Keep time.Duration
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// check fills in the defaults, or says what is wrong.
func (t *Target) check() error {
	if !targetName.MatchString(t.Name) {
		return fmt.Errorf("the target's name %q is none; use lower-case letters, digits, - and _, 63 at most", t.Name)
	}
	if t.Name == "" || t.Sender == nil {
		return fmt.Errorf("target %q has nowhere to send to", t.Name)
	}
	for _, p := range t.Types {
		if err := checkPattern(p); err != nil {
			return fmt.Errorf("target %q: %w", t.Name, err)
		}
	}
	if t.Window < 0 || t.Window > 256 || t.Retry < 0 || t.RetryMax < 0 || t.Tries < 0 || t.Keep < 0 {
		return fmt.Errorf("target %q: window is 1 to 256; retry, retry_max, tries and receipts are not negative", t.Name)
	}
	t.Window = or(t.Window, 32)
	t.Retry = or(t.Retry, time.Second)
	t.RetryMax = max(or(t.RetryMax, time.Minute), t.Retry)
	t.Tries = or(t.Tries, 20)
	t.Keep = or(t.Keep, 30*24*time.Hour)
	return nil
}

func checkPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil {
		return fmt.Errorf("types has %q, which is no pattern", p)
	}
	for _, t := range Types() {
		if match(p, t.Name) {
			return nil
		}
	}
	return fmt.Errorf("types has %q, which is no type of event; hint: briskest event types", p)
}

func or[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// wants says whether the target gets events of the type.
func (t *Target) wants(name string) bool {
	for _, p := range t.Types {
		if match(p, name) {
			return true
		}
	}
	return len(t.Types) == 0 || name == Test
}
