package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Start explains what a crash left behind, takes up the voucher exchanges that
// no MASA has answered, and begins the work in the background, which
// [Service.Close] ends. It is called once, before requests are served. An
// error means that the record could not be read or written; nothing was begun.
func (s *Service) Start(ctx context.Context) error {
	if s.started.Swap(true) {
		return errors.New("registrar: started before")
	}
	if err := s.explainIntents(ctx); err != nil {
		return fmt.Errorf("start-up pass: %w", err)
	}
	if err := s.recordPartitions(ctx, s.current.Load()); err != nil {
		return fmt.Errorf("start-up pass: %w", err)
	}
	if err := s.resumeOutstanding(ctx); err != nil {
		return fmt.Errorf("start-up pass: %w", err)
	}
	open, err := s.store.UnansweredVouchers(ctx)
	if err != nil {
		return fmt.Errorf("start-up pass: %w", err)
	}
	s.tasks.Go(s.writeRefusals)
	s.tasks.Go(s.settle)
	s.tasks.Go(s.renewAhead)
	s.tasks.Go(s.adopt)
	s.tasks.Go(s.keepLists)
	s.tasks.Go(s.tellCAs)
	s.tasks.Go(s.resumeGroups)
	if len(open) > 0 {
		s.tasks.Go(func() { s.resumeExchanges(open) })
	}
	return nil
}

// explainIntents moves every intent that has no outcome to Abandoned, with an
// explanation on the row and on the trail, but those that another CA may yet
// finish. Whoever is served by this process is served later, so that none of the
// others is open for a good reason.
func (s *Service) explainIntents(ctx context.Context) error {
	const explanation = "the process ended between recording the intent and recording the certificate; " +
		"if it was signed, nobody was given it, and its serial number is not used again"
	open, err := s.store.OpenIntents(ctx)
	if err != nil {
		return err
	}
	kept, err := s.store.ListOutstanding(ctx)
	if err != nil {
		return err
	}
	outstanding := make(map[string]bool, len(kept))
	for _, o := range kept {
		outstanding[o.ID] = true
	}
	for _, row := range open {
		if outstanding[row.ID] {
			continue
		}
		if row.Domain != s.current.Load().Domain {
			continue
		}
		if err := s.store.Commit(ctx, abandonment(row, "start-up", s.now(), explanation)); err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("intent %s: %w", row.ID, err)
		}
		s.log.WarnContext(ctx, "intent abandoned", slog.String("id", row.ID), slog.String("device", row.DeviceID))
	}
	return nil
}

// abandonment is the change that explains an intent.
func abandonment(row *Certificate, actor string, at time.Time, explanation string) *Change {
	abandoned := *row
	abandoned.Status, abandoned.Explanation = Abandoned, explanation
	b := newBody().str("id", row.ID).hex("serial", row.Serial).str("issuer", row.Issuer).str("profile", row.Profile).str("subject", row.Subject).
		hex("tbs_sha256", row.TBSHash[:]).time("intended_at", row.IntendedAt).str("explanation", explanation)
	return &Change{
		Abandoned:       []*Certificate{&abandoned},
		DropOutstanding: []*Outstanding{{Domain: row.Domain, ID: row.ID}},
		Trail: []*trail.Entry{{
			At: at.UTC(), Domain: row.Domain, Kind: KindIssuanceAbandoned, Device: row.DeviceID, Actor: actor, Body: b.done(),
		}},
	}
}

// settleLater keeps an outcome that could not be recorded. When there are too
// many, the next start-up pass explains the rest.
func (s *Service) settleLater(c *Change) {
	select {
	case s.unsettled <- c:
	default:
	}
}

// settle records outcomes that could not be recorded at once. A conflict says
// that the record has an outcome by now: of two, the first counts.
func (s *Service) settle() {
	const pause = 5 * time.Second
	for {
		var c *Change
		select {
		case c = <-s.unsettled:
		case <-s.life.Done():
			return
		}
		c.PutDevices = nil // may have changed since
		for {
			err := s.store.Commit(context.WithoutCancel(s.life), c)
			if err == nil || errors.Is(err, ErrConflict) {
				break
			}
			s.log.ErrorContext(s.life, "outcome not on record", slog.Any("error", err))
			if !s.pause(pause) {
				return
			}
		}
	}
}

// pause waits, or returns false because the service ends.
func (s *Service) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.life.Done():
		return false
	}
}
