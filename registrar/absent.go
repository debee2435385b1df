package registrar

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/briskest/briskest/ca"
)

// absentIssuer is an issuer whose CA does not answer now what its chain is: as it
// was before if it is the same, else one that issues nothing. The default issuer
// is never without: devices pin its root.
func absentIssuer(before *version, name string, by ca.Issuer, problem error) (*issuer, error) {
	if before != nil {
		if was := before.issuers[name]; was != nil && was.absent == nil && reflect.TypeOf(by).Comparable() && was.Issuer == by {
			return was, nil
		}
	}
	if name == DefaultIssuer {
		return nil, problem
	}
	return &issuer{Issuer: by, name: name, absent: problem}, nil
}

// notYet is the answer to who asks for what an absent CA alone knows.
func (i *issuer) notYet() *Decision {
	return &Decision{Reason: ReasonIssuerDown, Rule: "issuer", RetryAfter: jitter(10 * time.Second), Err: i.absent}
}

// lookForAbsent has the CAs that did not answer when the settings were loaded
// asked again until all have: one goroutine for all settings there ever are.
func (s *Service) lookForAbsent() {
	if v := s.current.Load(); !v.lacks() || s.life.Err() != nil || !s.looking.CompareAndSwap(false, true) {
		return
	}
	s.tasks.Go(func() {
		for pause := s.current.Load().Limits.IssuerRetry; s.current.Load().lacks() && s.pause(jitter(pause)); pause = min(2*pause, maxPause) {
			if v := s.current.Load(); v.answered(s.life, s.log) {
				if err := s.reloadAgain(v); err != nil {
					s.log.ErrorContext(s.life, "issuers not loaded again", slog.Any("error", err))
				}
			}
		}
		s.looking.Store(false)
		s.lookForAbsent() // for settings that came meanwhile
	})
}

// lacks tells whether a CA is absent.
func (v *version) lacks() bool {
	for _, i := range v.issuers {
		if i.absent != nil {
			return true
		}
	}
	return false
}

// answered tells whether a CA that was absent has a chain now.
func (v *version) answered(ctx context.Context, log *slog.Logger) bool {
	found := false
	for name, i := range v.issuers {
		if i.absent == nil {
			continue
		}
		asking, end := context.WithTimeout(ctx, v.Limits.IssuerTimeout)
		_, err := newIssuer(asking, name, i.Issuer)
		end()
		if err != nil {
			log.WarnContext(ctx, "the CA of an issuer is not known yet; it issues nothing", slog.String("issuer", name), slog.Any("error", err))
		}
		found = found || err == nil
	}
	return found
}
