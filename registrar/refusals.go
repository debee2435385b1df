package registrar

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// refuse turns a decision into the peer's answer. The refusal of an
// authenticated peer is on the trail before it is sent (promise 4 of the
// design), and when repeated within a minute is counted in the next entry; that
// of others goes there through [Service.Refused], which the handler calls.
func (s *Service) refuse(ctx context.Context, c *Case, d *Decision) error {
	e := d.answer(c)
	s.challenge(s.current.Load(), c, e)
	if c.Identity.Kind == "" || d.Verdict == Wait {
		return e
	}
	key := repeated{c.Identity.Credential, c.trailDevice(), c.Operation, e.Reason}
	left, onTrail, dropped := s.repeats.admit(key, c.At)
	if dropped {
		s.refusals.drop()
	}
	if !onTrail {
		return e
	}
	b := c.facts(s.current.Load()).str("rule", d.Rule).num("status", e.Status).str("message", e.Message)
	if d.Err != nil {
		b.str("cause", ascii(d.Err.Error()))
	}
	if left > 0 {
		b.num("left_out", left)
	}
	kind := KindRefused
	if c.redirected(d) {
		kind = KindRedirected
		b.str("owner", c.owner.Name).str("registrar_url", c.owner.RegistrarURL)
	}
	if err := s.commit(ctx, &Change{Trail: []*trail.Entry{c.entry(kind, e.Reason, b)}}); err != nil {
		s.repeats.forget(key)
		s.log.ErrorContext(ctx, "refusal not on the trail", slog.String("reason", e.Reason), slog.Any("error", err))
	}
	return e
}

// Refused implements est.Observer: each refusal, which the handler logs, is
// counted; those before authentication put one entry per reason and address
// and minute on the trail. It does not block.
func (s *Service) Refused(ctx context.Context, r *est.Request, e *est.Error) {
	s.observe(ctx, &observation{"est", string(r.Operation), r.ID, r.Label, r.Peer, r.At, e})
}

// observation is one refusal as a handler reports it.
type observation struct {
	road, operation, id, label string
	peer                       *est.Peer
	at                         time.Time
	e                          *est.Error
}

func (s *Service) observe(ctx context.Context, o *observation) {
	var cause decided
	if d := (*decided)(nil); errors.As(o.e.Err, &d) {
		cause = *d
	}
	// The handler has logged it; this adds what it does not know.
	s.log.LogAttrs(ctx, slog.LevelDebug, "refused", slog.String("request", o.id), slog.String("road", o.road), slog.String("operation", o.operation),
		slog.Int("status", o.e.Status), slog.String("reason", o.e.Reason), slog.String("rule", cause.rule),
		slog.Any("peer", o.peer), slog.String("serial_number", cause.serial), slog.Any("error", o.e.Err))
	if o.e.Status == http.StatusAccepted {
		return // not a refusal
	}
	address := netip.Addr{}
	if o.peer != nil {
		address = o.peer.Address.Addr()
	}
	if !s.refusals.count(o.e.Reason, addressKey(address), o.at, cause.authenticated) {
		return
	}
	b := newBody().str("operation", o.operation).str("request", o.id).str("label", ascii(o.label)).str("address", address.String()).
		str("rule", cause.rule).num("status", o.e.Status).str("message", o.e.Message).boolean("authenticated", false).str("serial_number", cause.serial)
	s.refusals.enqueue(&trail.Entry{
		At: o.at.UTC(), Domain: s.current.Load().Domain, Kind: KindRefused, Device: cause.device, Actor: o.road, Reason: o.e.Reason, Body: b.done(),
	})
}

// refusals counts, and lets one trail entry a reason, address and minute through.
type refusals struct {
	queue chan *trail.Entry // written to the store by Service.writeRefusals

	mu      sync.Mutex
	counts  map[string]int64       // by reason; guarded by mu
	dropped int64                  // entries the trail did not get; guarded by mu
	size    int                    // of last
	last    map[sighting]time.Time // when the trail last got one; guarded by mu
	swept   time.Time              // guarded by mu
}

type sighting struct{ reason, address string }

func newRefusals(size int) *refusals {
	return &refusals{queue: make(chan *trail.Entry, 256), counts: map[string]int64{}, last: map[sighting]time.Time{}, size: size}
}

// count counts one refusal and tells whether the trail is to get it.
func (r *refusals) count(reason, address string, at time.Time, onTrail bool) bool {
	const reasons = 512 // more than there are reason ids
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.counts[reason]; known || len(r.counts) < reasons {
		r.counts[reason]++
	}
	if onTrail {
		return false
	}
	key := sighting{reason, address}
	if last, ok := r.last[key]; ok && at.Sub(last) < time.Minute && at.Sub(last) >= 0 {
		return false
	}
	if len(r.last) >= r.size {
		r.sweep(at)
	}
	if len(r.last) >= r.size {
		r.dropped++
		return false
	}
	r.last[key] = at
	return true
}

// sweep forgets what is older than a minute, once a second at most.
func (r *refusals) sweep(at time.Time) {
	if at.Sub(r.swept) < time.Second {
		return
	}
	r.swept = at
	maps.DeleteFunc(r.last, func(_ sighting, last time.Time) bool { return at.Sub(last) >= time.Minute })
}

func (r *refusals) enqueue(e *trail.Entry) {
	select {
	case r.queue <- e:
	default:
		r.drop()
	}
}

// drop counts an entry that the trail did not get.
func (r *refusals) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped++
}

// snapshot returns the counts by reason, and how many entries were dropped.
func (r *refusals) snapshot() (map[string]int64, int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts), r.dropped
}

// writeRefusals puts queued entries on the trail until the service ends, and
// what is queued then as well.
func (s *Service) writeRefusals() {
	for {
		select {
		case e := <-s.refusals.queue:
			s.writeRefusal(e)
		case <-s.life.Done():
			for {
				select {
				case e := <-s.refusals.queue:
					s.writeRefusal(e)
				default:
					return
				}
			}
		}
	}
}

func (s *Service) writeRefusal(e *trail.Entry) {
	ctx := context.WithoutCancel(s.life)
	if err := s.store.Commit(ctx, &Change{Trail: []*trail.Entry{e}}); err != nil {
		s.log.ErrorContext(ctx, "refusal not on the trail", slog.String("reason", e.Reason), slog.Any("error", err))
	}
}
