// Package masa is the manufacturer's service (RFC 8995, Section 2.3): it knows
// which devices were built and to whom they were sold, issues vouchers to
// registrars, and keeps the audit-log of every device.
//
// Start with [New] over a [Store] (masa/store has one). [Service] is a
// brski.MASA; its operator methods import devices, note owners and block what
// was stolen, and masa/admin offers them over a socket. The package opens no
// port and signs with the keys it is given.
package masa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// DefaultDomain is the domain that everything belongs to until there are more.
const DefaultDomain = "default"

// Config is what a Service is built from.
type Config struct {
	Store    Store            // required
	Settings *Settings        // required; see Service.Reload
	Now      func() time.Time // nil for time.Now
	Log      *slog.Logger     // nil for none
}

// Service decides about voucher-requests. Its methods may be called
// concurrently. Make one with [New], end it with [Service.Close].
type Service struct {
	store      Store
	now        func() time.Time
	log        *slog.Logger
	settings   atomic.Pointer[Settings]
	locks      deviceLocks
	imports    sync.RWMutex // written by an import, which replaces rows of many devices; read by all that work on one
	restores   atomic.Pointer[[]*Restore]
	refusals   *refusals
	memory     *memory // of requests and registrars
	addresses  budget
	registrars budget
	devices    budget   // new vouchers, by device and domain
	checks     underway // of registrars' certificates
	served     served

	background sync.WaitGroup // the goroutine that writes what anonymous peers were refused
}

var (
	_ brski.MASA   = (*Service)(nil)
	_ est.Observer = (*Service)(nil)
)

// New checks the settings, explains what a crash left unfinished
// ([Service.Recover]) and returns a Service that is ready to answer. Its cost
// does not grow with the devices.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Store == nil {
		return nil, errors.New("masa: a Store is required")
	}
	s := &Service{store: c.Store, now: c.Now, log: c.Log, refusals: newRefusals(), memory: newMemory()}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.Reload(c.Settings); err != nil {
		return nil, err
	}
	if err := s.loadRestores(ctx); err != nil {
		return nil, err
	}
	if _, err := s.Recover(ctx); err != nil {
		return nil, err
	}
	s.background.Go(s.writeRefusals)
	return s, nil
}

// Close writes what is left to write and waits for it. The store stays open;
// no method may be called afterwards.
func (s *Service) Close() {
	s.refusals.close()
	s.background.Wait()
}

// Reload replaces the settings, whole or not at all. A request under way keeps
// those it began with.
func (s *Service) Reload(settings *Settings) error {
	checked, err := settings.checked()
	if err != nil {
		return fmt.Errorf("masa settings: %w", err)
	}
	s.settings.Store(checked)
	return nil
}

// Settings returns those in force. The caller does not change them.
func (s *Service) Settings() *Settings { return s.settings.Load() }

// Recover explains intents without an outcome, over all domains: the voucher
// never left, so the record is closed as failed and the same request may be
// made again. It returns how many there were. [New] calls it.
func (s *Service) Recover(ctx context.Context) (int, error) {
	open, err := s.store.OpenIntents(ctx)
	if err != nil {
		return 0, fmt.Errorf("masa: intents without an outcome: %w", err)
	}
	for _, v := range open {
		v.State, v.Reason = Failed, ReasonInterrupted
		err := s.store.Commit(ctx, &Change{
			Failed: []*VoucherRecord{v},
			Trail: []*trail.Entry{{
				At: s.now(), Domain: v.Domain, Kind: KindVoucherFailed, Device: v.DeviceID, Actor: "start-up",
				Reason: v.Reason, Body: body{"voucher": v.ID}.json(),
			}},
		})
		if err != nil && !errors.Is(err, ErrConflict) {
			return 0, fmt.Errorf("masa: intent %s: %w", v.ID, err)
		}
		s.log.WarnContext(ctx, "voucher intent without an outcome explained", slog.String("voucher", v.ID))
	}
	return len(open), nil
}
