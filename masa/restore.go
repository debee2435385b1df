package masa

import (
	"context"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Restore says that the records come from a backup: what was issued between its
// two times is not known, only that it may have been.
type Restore struct {
	ID          string    `json:"id"`
	Domain      string    `json:"domain"`
	MadeAt      time.Time `json:"made_at"`     // the backup
	RestoredAt  time.Time `json:"restored_at"` // when a server first ran on it
	By          string    `json:"by"`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`
	ConfirmedBy string    `json:"confirmed_by,omitempty"`
}

// clockAhead is how far in the future the time of a request may be to count.
const clockAhead = 5 * time.Minute

// Restores returns the restores, the first one first.
func (s *Service) Restores() []*Restore { return *s.restores.Load() }

func (s *Service) loadRestores(ctx context.Context) error {
	all, err := s.store.Restores(ctx)
	if err != nil {
		return fmt.Errorf("masa: restores: %w", err)
	}
	s.restores.Store(&all)
	return nil
}

// RestoreConfirmation says that the operator has put back on record what was lost.
type RestoreConfirmation struct {
	By string `json:"by"` // for the trail
}

// ConfirmRestore says that sales, blocks and ownerships since the backup are on
// record again and that devices which were waiting then have asked anew. It returns
// the restores that it confirms. ErrNotFound when there is none to confirm.
func (s *Service) ConfirmRestore(ctx context.Context, r *RestoreConfirmation) ([]*Restore, error) {
	var confirmed []*Restore
	change := &Change{}
	for _, restore := range s.Restores() {
		if !restore.ConfirmedAt.IsZero() {
			continue
		}
		c := *restore
		c.ConfirmedAt, c.ConfirmedBy = s.now().UTC(), actor(r.By)
		confirmed = append(confirmed, &c)
		change.PutRestores = append(change.PutRestores, &c)
		change.Trail = append(change.Trail, &trail.Entry{
			At: c.ConfirmedAt, Domain: c.Domain, Kind: KindConfirmed, Actor: c.ConfirmedBy,
			Body: body{"restore": c.ID, "made_at": c.MadeAt, "restored_at": c.RestoredAt}.json(),
		})
	}
	if len(confirmed) == 0 {
		return nil, fmt.Errorf("a restore that is not confirmed: %w", ErrNotFound)
	}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("confirm the restore: %w", err)
	}
	return confirmed, s.loadRestores(ctx)
}

// askedBefore refuses a request that may have been answered by a voucher which
// the records have lost: one voucher for a nonce holds over a restore too. The
// caller answers with the voucher on record, where there is one.
func (s *Service) askedBefore(x *exchange) error {
	for _, r := range s.Restores() {
		if err := r.doubt(x); err != nil {
			return err
		}
	}
	return nil
}

// doubt goes by the times in what registrar and pledge signed. That of a pledge
// from before the backup says nothing: it has no clock that was set, or the nonce is old.
func (r *Restore) doubt(x *exchange) error {
	certain := r.dated(x.request.CreatedOn, x.at)
	if certain && x.request.CreatedOn.Before(r.RestoredAt) {
		return r.mayBeAnswered()
	}
	certain = certain && x.request.Nonce != ""
	if x.prior != nil {
		switch asked := x.prior.CreatedOn; {
		case !r.dated(asked, x.at), asked.Before(r.MadeAt):
			certain = false
		case asked.Before(r.RestoredAt):
			return r.mayBeAnswered()
		}
	}
	if certain || !r.ConfirmedAt.IsZero() {
		return nil
	}
	return forbid(ReasonUnconfirmed, "RFC 8995, Section 5.6",
		"This MASA was restored from a backup, and nothing in the request shows that it was not answered before. "+
			"Have the pledge ask with a new nonce and the time, or the manufacturer confirm the restore.")
}

func (r *Restore) dated(asked, now time.Time) bool {
	return !asked.IsZero() && !asked.After(now.Add(clockAhead))
}

func (r *Restore) mayBeAnswered() error {
	return forbid(ReasonAskedBefore, "RFC 8995, Section 5.6",
		"This MASA was restored from a backup at "+r.RestoredAt.UTC().Format(time.RFC3339)+", and this was asked before: it may have been answered. "+
			"Have the pledge ask with a new nonce; look at the clocks of registrar and pledge if it has.")
}

// lost tells whether a record that is not of an issued voucher may be of one that
// was issued after the backup.
func (s *Service) lost(v *VoucherRecord) error {
	for _, r := range s.Restores() {
		if v.At.Before(r.RestoredAt) {
			return r.mayBeAnswered()
		}
	}
	return nil
}

// restoredSince says why a one-time code of that time does not count, or "".
func (s *Service) restoredSince(made time.Time) string {
	for _, r := range s.Restores() {
		if made.Before(r.RestoredAt) {
			return "the code is from before the records were restored from a backup on " + r.RestoredAt.Format(time.DateOnly) +
				", and may have been redeemed since; make a new one"
		}
	}
	return ""
}
