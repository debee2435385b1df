package discovery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Service is one thing that a responder announces.
type Service struct {
	Type string   // such as [ServiceRegistrar]
	Port uint16   // TCP
	Text []string // KEY=VALUE, at most 400 bytes in all (RFC 6763, Section 6)
}

// Responder announces services on some links for as long as it runs, and
// answers who asks for them. The fields are set before Run.
type Responder struct {
	// Instance names this machine to people; at most 57 bytes of UTF-8. When somebody
	// else has the name, a number is added.
	Instance string
	// Host is the label that the machine's addresses stand under in the domain
	// "local"; empty: one made up.
	Host     string
	Services []Service
	// Links are where to announce; Run closes them.
	Links []*Link
	// Announced says which of the machine's own addresses are; nil: all.
	Announced func(netip.Addr) bool
	Log       *slog.Logger // nil: none
}

// Run probes for the names, announces (RFC 6762, Section 8), and answers until ctx
// ends. Then it says goodbye (RFC 6762, Section 10.1), closes the links and
// returns nil. An error says that it did not begin.
func (r *Responder) Run(ctx context.Context) error {
	run, err := r.prepare()
	if err != nil {
		for _, l := range r.Links {
			err = errors.Join(err, l.Conn.Close())
		}
		return fmt.Errorf("announcing %q: %w", r.Instance, err)
	}
	in := listen(r.Links, run.log)
	run.loop(ctx, in.arrivals)
	run.goodbye()
	return in.close()
}

func (r *Responder) prepare() (*responding, error) {
	run := &responding{responder: r, host: r.Host, attempt: 1, log: logger(r.Log)}
	if len(r.Links) == 0 || len(r.Services) == 0 || len(r.Instance) > 57 {
		return nil, errors.New("an instance of at most 57 bytes, a service and a link are needed")
	}
	if run.host == "" {
		var b [5]byte
		_, _ = rand.Read(b[:]) // never fails
		run.host = "briskest-" + hex.EncodeToString(b[:])
	}
	for _, l := range r.Links {
		run.links = append(run.links, &outlet{link: l, sent: make(map[string]time.Time)})
	}
	var err error
	run.zone, err = r.zone(run.host, 1)
	return run, err
}

// Times of RFC 6762, Sections 8.1, 8.2 and 8.3.
const (
	probeInterval  = 250 * time.Millisecond
	probes         = 3
	announcements  = 2
	deferTime      = time.Second
	manyConflicts  = 15
	conflictPause  = 5 * time.Second
	watchAddresses = 15 * time.Second
)

// responding is a responder that runs; one goroutine has it.
type responding struct {
	responder *Responder
	zone      *zone
	host      string
	attempt   int
	conflicts int
	// step counts probes, then announcements that were sent; next is when to
	// take the next one.
	step  int
	next  time.Time
	links []*outlet
	log   *slog.Logger
}

// established says that the names were probed for, and announced.
func (r *responding) established() bool { return r.step > probes }

func (r *responding) loop(ctx context.Context, arrivals <-chan arrival) {
	r.next = time.Now().Add(mathrand.N(probeInterval))
	timer := time.NewTimer(time.Until(r.next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-arrivals:
			r.hear(time.Now(), a)
		case <-timer.C:
		}
		now := time.Now()
		if !r.next.After(now) {
			r.advance(now)
		}
		wake := r.next
		for _, o := range r.links {
			o.flush(now, r)
			if !o.due.IsZero() && o.due.Before(wake) {
				wake = o.due
			}
		}
		timer.Reset(time.Until(wake))
	}
}

// advance takes the next step: a probe, an announcement, or a look at the addresses.
func (r *responding) advance(now time.Time) {
	switch {
	case r.step < probes:
		for _, o := range r.links {
			o.probe(r)
		}
		r.next = now.Add(probeInterval)
	case r.step < probes+announcements:
		for _, o := range r.links {
			o.announce(now, r, false)
		}
		r.next = now.Add(time.Second)
		if r.step == probes {
			r.log.Info("announced by mDNS", slog.String("instance", r.instance()), slog.String("host", r.zone.host.String()))
		}
	default:
		for _, o := range r.links {
			if !slices.Equal(o.addresses, o.current(r)) {
				o.announce(now, r, false)
			}
		}
		r.next = now.Add(watchAddresses)
		return
	}
	r.step++
}

func (r *responding) instance() string {
	label, _ := r.zone.offers[0].instance.first()
	return label
}

// hear looks for somebody with our names, and answers questions.
func (r *responding) hear(now time.Time, a arrival) {
	o := r.links[a.link]
	switch {
	case a.message.response:
		// Names that nothing was said of yet cannot be in conflict: each probe
		// loses at most one, however much is heard.
		if r.step > 0 && a.from.Port() == o.link.Group.Port() && r.conflicting(a.message) {
			r.conflict(now)
		}
	case r.established():
		o.answer(now, r, a)
	case r.outranked(a.message):
		// Somebody probes for the same name at the same time and has
		// precedence: who that is will be seen in a second (RFC 6762, Section 8.2).
		r.step, r.next = 0, now.Add(deferTime)
	}
}

// conflicting says that somebody answers for our names with what is not ours.
// What we say on one link may be heard on another.
func (r *responding) conflicting(m *message) bool {
	for _, section := range [][]record{m.answers, m.additional} {
		for i := range section {
			a := &section[i]
			if a.ttl != 0 && a.kind != typeNSEC && r.zone.owns(a.name) && !r.ours(a) {
				return true
			}
		}
	}
	return false
}

func (r *responding) ours(a *record) bool {
	for _, o := range r.links {
		own := r.zone.unique(o.current(r))
		if slices.ContainsFunc(own, func(b record) bool { return b.same(a) }) {
			return true
		}
	}
	return false
}

// conflict begins again, with other names if these were not established, and
// slowly when it happens all the time (RFC 6762, Sections 8.1 and 9).
func (r *responding) conflict(now time.Time) {
	r.conflicts++
	established := r.established()
	r.step, r.next = 0, now.Add(mathrand.N(probeInterval))
	if r.conflicts > manyConflicts {
		r.next = now.Add(conflictPause)
	}
	if established {
		return
	}
	r.attempt++
	if z, err := r.responder.zone(r.host, r.attempt); err == nil {
		r.zone = z
	} else {
		r.attempt = 1
	}
	r.log.Warn("mDNS: another machine has the name; another one is tried", slog.String("instance", r.instance()))
}

// outranked says that a probe for one of our names comes after ours in the
// order of what is to be announced.
func (r *responding) outranked(m *message) bool {
	for _, q := range m.questions {
		if !r.zone.owns(q.name) {
			continue
		}
		theirs := recordsOf(q.name, m.authority)
		if len(theirs) == 0 || !slices.ContainsFunc(theirs, func(a record) bool { return !r.ours(&a) }) {
			continue // no probe, or our own
		}
		for _, o := range r.links {
			if slices.CompareFunc(recordsOf(q.name, r.zone.unique(o.current(r))), theirs, compareRecords) < 0 {
				return true
			}
		}
	}
	return false
}

// recordsOf are the records of one name, in order.
func recordsOf(n name, list []record) []record {
	var own []record
	for _, a := range list {
		if a.name.fold() == n.fold() {
			own = append(own, a)
		}
	}
	slices.SortFunc(own, compareRecords)
	return own
}

// goodbye takes back what was announced.
func (r *responding) goodbye() {
	if !r.established() {
		return
	}
	for _, o := range r.links {
		o.announce(time.Now(), r, true)
	}
}
