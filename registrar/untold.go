package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// tellRetry is how long a CA that did not listen is left alone, growing to an hour.
const tellRetry = 10 * time.Second

// tellCAs tells the CAs of revocations, holds and releases of their certificates
// until each has answered: what they are not told outlives the process.
func (s *Service) tellCAs() {
	for tries := 0; ; {
		left, err := s.tellAll(s.life)
		if err != nil && s.life.Err() == nil {
			s.log.ErrorContext(s.life, "CAs not told of revocations", slog.Any("error", err))
		}
		pause := maxPause
		if tries++; left || err != nil {
			pause = jitter(min(tellRetry<<min(tries-1, 10), maxPause))
		} else {
			tries = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-s.telling:
			tries = 0
		case <-timer.C:
		case <-s.life.Done():
		}
		timer.Stop()
		if s.life.Err() != nil {
			return
		}
	}
}

// tellSoon has what a change left untold be told now.
func (s *Service) tellSoon(c *Change) {
	if len(c.PutUntold) == 0 {
		return
	}
	select {
	case s.telling <- struct{}{}:
	default:
	}
}

// tellAll tells what there is, oldest issuance first, and whether something is
// left. A CA that cannot be reached is not asked twice in a pass.
func (s *Service) tellAll(ctx context.Context) (left bool, err error) {
	v := s.current.Load()
	silent := make(map[string]bool) // by issuer
	const page = 256
	for after := ""; ; {
		rows, err := s.store.ListUntold(ctx, v.Domain, after, page)
		if err != nil {
			return true, err
		}
		for _, u := range rows {
			told, err := s.tellOne(ctx, v, u, silent)
			if err != nil {
				return true, err
			}
			left = left || !told
		}
		if len(rows) < page {
			return left, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// tellOne tells a CA of one certificate. True says that there is nothing more to
// tell: it knows, or has refused for good, which is on the trail then.
func (s *Service) tellOne(ctx context.Context, v *version, u *Untold, silent map[string]bool) (bool, error) {
	row, err := s.store.Certificate(ctx, v.Domain, u.ID)
	if err != nil {
		return false, err
	}
	i := v.issuers[row.Issuer]
	if i == nil || silent[row.Issuer] {
		return false, nil // it may be configured, or reached, again
	}
	change := &Change{DropUntold: []*Untold{u}}
	b := newBody().str("id", row.ID).hex("serial", row.Serial).str("issuer", row.Issuer).num("crl_reason", u.Reason).time("revoked_at", u.At)
	kind := KindCATold
	by, ok := i.Issuer.(ca.Revoker)
	if !ok {
		err = fmt.Errorf("%w: it takes no revocations", ca.ErrRejected)
	} else {
		waiting, end := context.WithTimeout(ctx, v.Limits.IssuerTimeout)
		err = by.Revoke(waiting, &ca.Revoked{Raw: row.Raw, At: u.At, Reason: u.Reason})
		end()
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, ca.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		silent[row.Issuer] = true
		s.log.WarnContext(ctx, "CA not told of a revocation yet", slog.String("issuer", row.Issuer), slog.String("id", row.ID), slog.Any("error", err))
		return false, nil
	default:
		kind = KindCARefused
		b.str("problem", ascii(err.Error()))
		s.log.ErrorContext(ctx, "the CA refuses a revocation; it counts here only", slog.String("issuer", row.Issuer),
			slog.String("id", row.ID), slog.String("serial", fmt.Sprintf("%x", row.Serial)), slog.Any("error", err))
	}
	change.Trail = []*trail.Entry{s.act(v, "issuer", kind, row.DeviceID, b)}
	return true, s.store.Commit(ctx, change)
}

// refreshLater loads the settings again, as they are, because the CA behind an
// issuer has another key than when they were loaded: what it signs has to authenticate.
func (s *Service) refreshLater(v *version) {
	s.tasks.Go(func() {
		if err := s.reloadAgain(v); err != nil {
			s.log.ErrorContext(s.life, "issuers not loaded again", slog.Any("error", err))
		}
	})
}
