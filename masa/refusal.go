package masa

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// seenError marks the cause of a refusal that is already on record, so that
// [Service.Refused] does not note it again.
type seenError struct{ cause error }

func (e *seenError) Error() string {
	if e.cause == nil {
		return "refused"
	}
	return e.cause.Error()
}

func (e *seenError) Unwrap() error { return e.cause }

// refused puts a refusal on record and returns what the peer is told. Every
// refusal of a registrar that is known goes on the trail before the answer; of
// others, and of who asks more than its budget, one for each reason and address
// a minute.
func (s *Service) refused(ctx context.Context, x *exchange, op brski.Operation, err error) error {
	var e *est.Error
	if !errors.As(err, &e) {
		return err // not a refusal: the store, the signer
	}
	entry := &trail.Entry{
		At: x.at, Domain: x.settings.Domain, Kind: KindRefused, Actor: "brski", Reason: e.Reason,
		Body: x.refusalBody(op, e).json(),
	}
	if x.device != nil && !x.unlisted {
		entry.Device = x.device.ID
	}
	s.refusals.count(e.Reason)
	if x.known && e.Reason != ReasonBudget {
		if err := s.store.Commit(context.WithoutCancel(ctx), &Change{Trail: []*trail.Entry{entry}}); err != nil {
			return errors.Join(errors.New("refusal not on the trail"), err)
		}
	} else {
		s.refusals.offer(e.Reason, x.address, entry)
	}
	seen := *e
	seen.Err = &seenError{e.Err}
	return &seen
}

func (x *exchange) refusalBody(op brski.Operation, e *est.Error) body {
	b := body{"operation": op, "status": e.Status, "address": x.address, "settings": x.settings.Version, "section": e.Section}
	if x.request != nil {
		b["serial_number"] = x.request.SerialNumber
		b["registrar"] = x.registrarName()
	}
	x.noteConflict(b)
	return b
}

// noteConflict puts on record that a pledge named several registrars at once
// (rfc8366bis, Section 9): its firmware is wrong, or it was lied to.
func (x *exchange) noteConflict(b body) {
	if x.conflict {
		b["proximity_conflict"] = true
	}
}

// registrarName is the subject of the request's signer, for people who read
// the trail. A certificate may hold a name of any length.
func (x *exchange) registrarName() string {
	const limit = 256
	name := x.artifact.Signer.Subject.String()
	if len(name) > limit {
		name = strings.ToValidUTF8(name[:limit], "") + "..."
	}
	return name
}

// Refused implements est.Observer for the handler in front of the service,
// which logs: it counts, and puts one entry for each reason and address a
// minute on the trail. What the service itself refused is on record already.
func (s *Service) Refused(_ context.Context, r *est.Request, e *est.Error) {
	var seen *seenError
	if errors.As(e, &seen) {
		return
	}
	address, at, op := "", s.now(), est.Operation("")
	if r != nil {
		op = r.Operation
		if r.Peer != nil && r.Peer.Address.IsValid() {
			address = r.Peer.Address.Addr().Unmap().String()
		}
		if !r.At.IsZero() {
			at = r.At
		}
	}
	settings := s.settings.Load()
	s.refusals.count(e.Reason)
	s.refusals.offer(e.Reason, address, &trail.Entry{
		At: at, Domain: settings.Domain, Kind: KindRefused, Actor: "brski", Reason: e.Reason,
		Body: body{
			"operation": op, "status": e.Status, "address": address, "settings": settings.Version, "section": e.Section,
		}.json(),
	})
}

// RefusalCounts returns how often each reason was given since the start.
func (s *Service) RefusalCounts() map[string]int64 { return s.refusals.counted() }

// writeRefusals puts what [refusals.offer] let through on the trail, until close.
func (s *Service) writeRefusals() {
	ctx := context.Background()
	for entry := range s.refusals.queue {
		if err := s.store.Commit(ctx, &Change{Trail: []*trail.Entry{entry}}); err != nil {
			s.log.ErrorContext(ctx, "refusal not on the trail", slog.String("reason", entry.Reason), slog.Any("error", err))
		}
	}
}

// refusals counts, and thins out what anonymous peers can put on the trail.
type refusals struct {
	queue chan *trail.Entry // closed by close

	mu     sync.Mutex
	counts map[string]int64         // by reason; guarded by mu
	last   map[refusalKey]time.Time // guarded by mu
	swept  time.Time                // when old ones were looked for; guarded by mu
	closed bool                     // guarded by mu
}

type refusalKey struct{ reason, address string }

const (
	refusalInterval = time.Minute
	// maxRefusalKeys bounds the memory that addresses can take. Beyond it all
	// further addresses share one entry a minute for each reason.
	maxRefusalKeys = 4096
)

func newRefusals() *refusals {
	return &refusals{
		queue:  make(chan *trail.Entry, 64),
		counts: make(map[string]int64),
		last:   make(map[refusalKey]time.Time),
	}
}

func (r *refusals) count(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[reason]++
}

func (r *refusals) counted() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// offer queues the entry unless one of its reason and address was queued within
// the last minute. It does not block: when the disk is that far behind, the
// entry is only logged and counted.
func (r *refusals) offer(reason, address string, entry *trail.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	key := refusalKey{reason, address}
	if _, there := r.last[key]; !there && len(r.last) >= maxRefusalKeys {
		if dueForSweep(&r.swept, entry.At) {
			maps.DeleteFunc(r.last, func(_ refusalKey, at time.Time) bool { return entry.At.Sub(at) >= refusalInterval })
		}
		if len(r.last) >= maxRefusalKeys {
			key.address = ""
		}
	}
	if at, there := r.last[key]; there && entry.At.Sub(at) < refusalInterval {
		return
	}
	select {
	case r.queue <- entry:
		r.last[key] = entry.At
	default:
	}
}

func (r *refusals) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
}
