package registrar

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The kinds and states of a Pending row.
const (
	PendingVoucher  = "voucher"
	PendingAuditLog = "audit-log" // a voucher that is held because of what the audit-log says
	PendingEnroll   = "enroll"
	PendingSighting = "unknown-manufacturer"

	StateWaiting  = "waiting"
	StateApproved = "approved"
	StateDenied   = "denied"
)

// pending is the row that a case waits in. A repeated enrollment is recognised
// by device, key, names and who asks, not by its bytes: the channel binding
// differs each time. A voucher-request is by its device, so that a pledge that
// was restarted does not wait anew.
func (c *Case) pending() *Pending {
	p := &Pending{
		Domain: c.Domain, Kind: PendingEnroll, Manufacturer: c.manufacturer(), SerialNumber: c.SerialNumber, Subject: c.Subject.String(),
		Address: c.Address.Addr().String(), Evidence: c.Evidence, State: StateWaiting,
	}
	if c.Operation == OpVoucher {
		p.Kind, p.Key, p.Subject = PendingVoucher, deviceKey(p.Manufacturer, p.SerialNumber), c.Identity.Certificate.Subject.String()
		return p
	}
	key := hex.EncodeToString(c.KeyHash[:])
	if c.Generate != nil { // an approval is for one key: the next after the certificates there are
		key = OpKeyGen + " " + c.Generate.mark
	}
	p.Key = fmt.Sprintf("%s %s %s %s", key, hex.EncodeToString(c.NamesHash[:]), c.Label.Name, c.Identity.Credential)
	return p
}

// keepWaiting puts p on record, or notes at most once a minute that it was
// asked again. A row that was decided, and counts no more, waits anew.
func (s *Service) keepWaiting(ctx context.Context, v *version, c *Case, p *Pending, wait *Decision) *Decision {
	fresh, anew := p.ID == "", p.State != StateWaiting
	if !fresh && !anew && c.At.Sub(p.LastAt) < time.Minute {
		return wait
	}
	row := *p
	row.Seen, row.LastAt = row.Seen+1, c.At.UTC()
	change := &Change{PutPending: []*Pending{&row}}
	if fresh || anew {
		if fresh {
			row.ID, row.FirstAt = NewID(c.At), row.LastAt
		}
		row.State = StateWaiting
		if anew {
			row.Reason, row.DecidedAt, row.DecidedBy = "", time.Time{}, ""
		}
		full, err := s.waiting.reserve(ctx, s.store, v, &row)
		if err != nil {
			return storeFailed("pending", err)
		}
		if full {
			return &Decision{Reason: ReasonPendingFull, Rule: "pending-limit", RetryAfter: jitter(time.Minute)}
		}
		b := c.facts(v).str("pending", row.ID).str("kind", row.Kind).str("subject", row.Subject).yes("again", anew)
		change.Trail = append(change.Trail, c.entry(KindRequestWaiting, wait.Reason, b))
	}
	if err := s.commit(ctx, change); err != nil {
		if fresh || anew {
			s.waiting.release(&row)
		}
		if errors.Is(err, ErrConflict) { // somebody else put it there
			return wait
		}
		return storeFailed("pending", err)
	}
	return wait
}

// waiting counts the waiting rows of each device, so that one device cannot
// fill the list. Sightings, which need no authentication, have a tenth of the
// room for themselves. It is read from the store once.
type waiting struct {
	mu        sync.Mutex
	counts    map[string]int // of requests, by deviceKey; nil until read; guarded by mu
	requests  int            // guarded by mu
	sightings int            // guarded by mu
}

// reserve counts one row more, or tells that there is no room.
func (w *waiting) reserve(ctx context.Context, store Requests, v *version, row *Pending) (full bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		rows, err := store.ListPending(ctx, v.Domain, StateWaiting, 2*v.Limits.Pending)
		if err != nil {
			return false, err
		}
		w.counts = make(map[string]int, len(rows))
		for _, p := range rows {
			w.add(p, 1)
		}
	}
	if row.Kind == PendingSighting {
		full = w.sightings >= max(1, v.Limits.Pending/10)
	} else {
		full = w.requests >= v.Limits.Pending || w.counts[deviceKey(row.Manufacturer, row.SerialNumber)] >= v.Limits.PendingPerDevice
	}
	if !full {
		w.add(row, 1)
	}
	return full, nil
}

// release counts one row less.
func (w *waiting) release(row *Pending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts != nil {
		w.add(row, -1)
	}
}

func (w *waiting) add(row *Pending, n int) {
	if row.Kind == PendingSighting {
		w.sightings += n
		return
	}
	key := deviceKey(row.Manufacturer, row.SerialNumber)
	w.requests += n
	if w.counts[key] += n; w.counts[key] <= 0 {
		delete(w.counts, key)
	}
}
