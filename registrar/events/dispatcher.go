package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Store is what events are read from, and where it is kept what became of them.
type Store interface {
	registrar.Outbox
	TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error)
}

// Config is what a Dispatcher is made of.
type Config struct {
	Domain  string
	Store   Store
	Records Records
	Log     *slog.Logger
	Now     func() time.Time // for what goes on record; nil: time.Now
}

// Settings say what is sent where. They can be replaced while it runs.
type Settings struct {
	Source  string // of the events: a URI reference
	Access  []Rule
	Targets []*Target
}

// Dispatcher brings the events of one domain to its targets. Without targets it
// does nothing. Its methods may be called concurrently.
type Dispatcher struct {
	domain  string
	store   Store
	records Records
	log     *slog.Logger
	now     func() time.Time
	bells   atomic.Pointer[[]chan struct{}] // of the pumps

	mu      sync.Mutex
	builder *Builder            // replaced only while no pump runs; guarded by mu otherwise
	pumps   map[string]*running // by target; guarded by mu
	closed  bool                // guarded by mu
	begun   bool                // pumps run; guarded by mu
}

// running is a pump and how to end it.
type running struct {
	*pump
	cancel context.CancelFunc
}

var _ registrar.Events = (*Dispatcher)(nil)

// New returns a Dispatcher without targets.
func New(c Config) *Dispatcher {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Dispatcher{
		domain: c.Domain, store: c.Store, records: c.Records, log: c.Log, now: c.Now,
		builder: NewBuilder("", nil, c.Records), pumps: make(map[string]*running),
	}
}

// Check fills in the defaults of what was configured, or says what is wrong.
func (s *Settings) Check() error {
	seen := make(map[string]bool)
	for _, t := range s.Targets {
		if err := t.check(); err != nil {
			return err
		}
		if seen[t.Name] {
			return fmt.Errorf("target %q is there twice", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

// Set has events brought, once it is started, to these targets, which Check has passed, and to no others. It
// closes the senders of those before once what is under way has ended, which takes seconds at most.
func (d *Dispatcher) Set(s *Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopAll()
	if d.closed {
		for _, t := range s.Targets {
			t.Sender.Close()
		}
		return
	}
	d.builder = NewBuilder(s.Source, s.Access, d.records)
	for _, t := range s.Targets {
		d.start(t)
	}
	d.hang()
}

// start runs a pump; mu is held.
func (d *Dispatcher) start(t *Target) {
	ctx, cancel := context.WithCancel(context.Background()) // ended by stopAll, or a replay
	p := newPump(d, t)
	d.pumps[t.Name] = &running{pump: p, cancel: cancel}
	if !d.begun {
		close(p.stopped)
		return
	}
	go p.run(ctx)
}

// Start has events brought from now on; until then, operators can look and ask for replays.
func (d *Dispatcher) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun || d.closed {
		return
	}
	d.begun = true
	for _, p := range d.pumps {
		d.start(p.t)
	}
	d.hang()
}

// stopAll ends all pumps; mu is held.
func (d *Dispatcher) stopAll() {
	for _, p := range d.pumps {
		p.cancel()
	}
	for name, p := range d.pumps {
		<-p.stopped
		p.t.Sender.Close()
		delete(d.pumps, name)
	}
}

// Wake says that there may be more on the trail. It never blocks.
func (d *Dispatcher) Wake() {
	bells := d.bells.Load()
	if bells == nil {
		return
	}
	for _, bell := range *bells {
		select {
		case bell <- struct{}{}:
		default:
		}
	}
}

// hang hangs up the bells of the pumps that there are; mu is held.
func (d *Dispatcher) hang() {
	var bells []chan struct{}
	for _, p := range d.pumps {
		bells = append(bells, p.wake)
	}
	d.bells.Store(&bells)
}

// Close ends what is under way and puts on record what was delivered.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.stopAll()
}
