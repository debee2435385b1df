package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// CRL returns the newest list of the scope, signed anew when half of its life is
// over, or when something of it was revoked or released since and it is older than
// Lists.Soon: strangers cannot make a CA sign more often than that. While somebody
// has it signed, and where that fails, the others get the one there is as long as
// it is current. A scope that no certificate names is ErrNotFound.
func (s *Service) CRL(ctx context.Context, domain string, scope CRLScope) (*CRL, error) {
	v, a, err := s.listOf(ctx, domain, &scope)
	if err != nil {
		return nil, err
	}
	held := s.lists.find(scope)
	if held.fresh(s.now(), v.Lists.Soon) {
		return held.crl, nil
	}
	waiters := 0
	if held.current(s.now()) {
		waiters = 1
	}
	unlock, err := s.listLocks.lockAmong(ctx, scope.lockKey(), waiters)
	if errors.Is(err, errCrowded) {
		return held.crl, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	select {
	case s.listing <- struct{}{}:
		defer func() { <-s.listing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.refresh(context.WithoutCancel(ctx), v, a, scope)
}

// listers is how many lists are looked after at once, whoever asks for how many:
// a CA's key signs certificates meanwhile.
const listers = 4

// lockKey is the same for a delta and its base, which are numbered together.
func (c *CRLScope) lockKey() string {
	return c.Authority + "/" + strconv.Itoa(c.Count) + "/" + strconv.Itoa(c.Index)
}

// listOf finds who signs the list, and looks whether there is one of the scope,
// whose Authority may also be the name of an issuer, and Count 0 for 1.
func (s *Service) listOf(ctx context.Context, domain string, scope *CRLScope) (*version, *Authority, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, nil, err
	}
	a, err := v.authority(scope.Authority)
	if err != nil {
		return nil, nil, err
	}
	scope.Authority, scope.Count = a.ID(), orDefault(scope.Count, 1)
	if !scope.valid() {
		return nil, nil, fmt.Errorf("list %d of %d: %w", scope.Index, scope.Count, ErrNotFound)
	}
	if scope.Delta && !v.Lists.Deltas {
		return nil, nil, fmt.Errorf("there are no deltas: %w", ErrNotFound)
	}
	if scope.Count == 1 || scope.Count == v.Lists.Partitions {
		return v, a, nil
	}
	counts, err := s.store.CRLPartitions(ctx, v.Domain, scope.Authority)
	if err != nil {
		return nil, nil, err
	}
	if v.Lists.URL == "" || !slices.Contains(counts, scope.Count) {
		return nil, nil, fmt.Errorf("no certificate names one of %d lists: %w", scope.Count, ErrNotFound)
	}
	return v, a, nil
}

// refresh returns the list, signed anew if that is due; the scope is locked.
func (s *Service) refresh(ctx context.Context, v *version, a *Authority, scope CRLScope) (*CRL, error) {
	held := s.lists.find(scope)
	now := s.now()
	if held.fresh(now, v.Lists.Soon) {
		return held.crl, nil
	}
	last, due, err := s.dueCRL(ctx, v, scope, held, now)
	if err != nil || !due {
		s.lists.keep(scope, last, now)
		return last, err
	}
	signed, err := s.signCRL(ctx, v, a, "schedule", scope)
	if errors.Is(err, ErrConflict) { // another registrar was faster
		signed, err = s.store.LatestCRL(ctx, v.Domain, scope)
	}
	if err != nil && last != nil && now.Before(last.NextUpdate) {
		s.log.ErrorContext(ctx, "CRL not signed anew", slog.String("scope", scope.lockKey()), slog.Any("error", err))
		signed, err = last, nil
	}
	if err != nil {
		return nil, err
	}
	s.lists.keep(scope, signed, now)
	return signed, nil
}

// dueCRL is the newest list on record, nil for none, and whether the next is due.
func (s *Service) dueCRL(ctx context.Context, v *version, scope CRLScope, held *heldCRL, now time.Time) (last *CRL, due bool, err error) {
	if last, err = found(s.store.LatestCRL(ctx, v.Domain, scope)); err != nil || last == nil {
		return nil, err == nil, err
	}
	age, life := now.Sub(last.ThisUpdate), last.NextUpdate.Sub(last.ThisUpdate)
	if age > life/2 || age < 0 {
		return last, true, nil
	}
	if age <= v.Lists.Soon && held != nil {
		return last, false, nil
	}
	q := &RevocationQuery{Domain: v.Domain, Authority: scope.Authority, Since: last.Change, Limit: 1}
	q.First, q.Last = scope.places()
	newer, err := s.store.Revocations(ctx, q)
	return last, age > v.Lists.Soon && len(newer) > 0, err
}

// SignCRL signs a list of the scope now (RFC 5280, Section 5): every revoked
// certificate of it that has not expired before the last list, or with Delta what
// changed. It is on record when it is returned.
func (s *Service) SignCRL(ctx context.Context, domain, actor string, scope CRLScope) (*CRL, error) {
	v, a, err := s.listOf(ctx, domain, &scope)
	if err != nil {
		return nil, err
	}
	unlock, err := s.listLocks.lock(ctx, scope.lockKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	out, err := s.signCRL(ctx, v, a, actor, scope)
	if err == nil {
		s.lists.keep(scope, out, s.now())
	}
	return out, err
}

// GenerateCRL is SignCRL of all that the default issuer's CA has revoked.
func (s *Service) GenerateCRL(ctx context.Context, domain, actor string) (*CRL, error) {
	return s.SignCRL(ctx, domain, actor, CRLScope{})
}

// LatestCRL returns the newest list on record of all that the default issuer's
// CA has revoked, or ErrNotFound.
func (s *Service) LatestCRL(ctx context.Context, domain string) (*CRL, error) {
	scope := CRLScope{}
	v, _, err := s.listOf(ctx, domain, &scope)
	if err != nil {
		return nil, err
	}
	return s.store.LatestCRL(ctx, v.Domain, scope)
}

// signCRL signs and records; the scope is locked.
func (s *Service) signCRL(ctx context.Context, v *version, a *Authority, actor string, scope CRLScope) (*CRL, error) {
	whole, part := scope, scope
	whole.Delta, part.Delta = false, true
	full, err := found(s.store.LatestCRL(ctx, v.Domain, whole))
	if err != nil {
		return nil, err
	}
	delta, err := found(s.store.LatestCRL(ctx, v.Domain, part))
	if err != nil {
		return nil, err
	}
	if err := s.adoptRevoked(ctx, v); err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Second)
	if scope.Delta && full.base(now) == nil {
		if full, err = s.signCRL(ctx, v, a, actor, whole); err != nil {
			return nil, err
		}
	}
	out := &CRL{Domain: v.Domain, CRLScope: scope, Number: nextNumber(s.now(), full, delta), ThisUpdate: now, NextUpdate: now.Add(v.CRLLifetime)}
	// Before the rows are read: what changes meanwhile is newer than the list.
	if out.Change, err = s.store.LatestChange(ctx, v.Domain, scope.Authority); err != nil {
		return nil, err
	}
	list := &ca.RevocationList{Number: out.Number, ThisUpdate: out.ThisUpdate, DistributionPoint: v.listURL(a, whole)}
	if scope.Delta {
		base := full.base(now)
		list.Base = base.Number
		out.NextUpdate = now.Add(v.CRLLifetime / deltaShare)
		list.Revoked, err = s.revocations(ctx, v, scope, base.Change, time.Time{})
	} else {
		out.Bases = full.bases(out)
		if v.Lists.Deltas {
			list.Freshest = []string{v.Lists.URL + listPath(a, part)}
		}
		list.Revoked, err = s.revocations(ctx, v, scope, -1, full.keptUntil(now.Add(-v.CRLLifetime)))
	}
	if err != nil {
		return nil, err
	}
	list.NextUpdate = out.NextUpdate
	if out.Raw, err = a.Lists.CRL(ctx, list); err != nil {
		return nil, fmt.Errorf("sign the CRL: %w", err)
	}
	b := newBody().str("authority", scope.Authority).num("number", int(list.Number)).num("entries", len(list.Revoked)).
		num("partitions", scope.Count).num("index", scope.Index).num("base", int(list.Base)).time("next_update", list.NextUpdate)
	err = s.store.Commit(ctx, &Change{PutCRL: out, Trail: []*trail.Entry{s.act(v, actor, KindCRLSigned, "", b)}})
	if err != nil {
		return nil, fmt.Errorf("record the CRL: %w", err)
	}
	return out, nil
}

// deltaShare is which part of a full list's life a delta has.
const deltaShare = 7

// nextNumber follows those of the lists before, and the clock in microseconds,
// ahead of which no series of lists gets: so it rises after a restore too, of
// which nobody knows what was signed since the backup (RFC 5280, Section 5.2.3).
func nextNumber(now time.Time, before ...*CRL) int64 {
	next := now.UnixMicro()
	for _, l := range before {
		if l != nil {
			next = max(next, l.Number+1)
		}
	}
	return next
}

// base is the oldest full list that somebody may still use, for deltas to stand
// on: whoever has it, or any after it, can apply them. Nil for none.
func (c *CRL) base(now time.Time) *CRLBase {
	if c == nil {
		return nil
	}
	for i := range c.Bases {
		if c.Bases[i].NextUpdate.After(now) {
			return &c.Bases[i]
		}
	}
	return nil
}

// bases are those that stay, and the next list. Of lists that follow each other
// within a sixteenth of their lives one is enough.
func (c *CRL) bases(next *CRL) []CRLBase {
	var out []CRLBase
	if c != nil {
		for _, b := range c.Bases {
			if b.NextUpdate.After(next.ThisUpdate) {
				out = append(out, b)
			}
		}
	}
	apart := next.NextUpdate.Sub(next.ThisUpdate) / 16
	if n := len(out); n >= 2 && out[n-1].NextUpdate.Sub(out[n-2].NextUpdate) < apart {
		out = out[:n-1]
	}
	return append(out, CRLBase{Number: next.Number, Change: next.Change, NextUpdate: next.NextUpdate})
}

// keptUntil is before when a certificate has to have expired to be left out: an
// entry stays until a list after its end had it (RFC 5280, Section 3.3).
func (c *CRL) keptUntil(longAgo time.Time) time.Time {
	if c != nil && c.ThisUpdate.Before(longAgo) {
		return c.ThisUpdate
	}
	return longAgo
}

// listURL is what certificates of the scope name, for lists that are not of all.
func (v *version) listURL(a *Authority, scope CRLScope) string {
	if scope.Count == 1 {
		return ""
	}
	return v.Lists.URL + listPath(a, scope)
}

func listPath(a *Authority, scope CRLScope) string {
	path := "/crl/" + a.Name() + "/" + strconv.Itoa(scope.Count) + "/" + strconv.Itoa(scope.Index)
	if scope.Delta {
		path += "-delta"
	}
	return path + ".crl"
}

// revocations reads what a list holds: of changes since (negative: all), those of
// certificates that end after then; releases only where there is a since.
func (s *Service) revocations(ctx context.Context, v *version, scope CRLScope, since int64, ended time.Time) ([]ca.Revocation, error) {
	var out []ca.Revocation
	q := &RevocationQuery{Domain: v.Domain, Authority: scope.Authority, Since: since, Limit: maxList}
	q.First, q.Last = scope.places()
	for {
		page, err := s.store.Revocations(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if (since >= 0 || r.Reason != ReasonRelease) && !r.NotAfter.Before(ended) {
				out = append(out, ca.Revocation{Serial: r.Serial, At: r.At, Reason: r.Reason})
			}
		}
		if len(page) < q.Limit {
			return out, nil
		}
		q.After = page[len(page)-1]
	}
}
