package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

// listed keeps what lists need of a certificate whose status has changed. One
// whose CA is not known yet is kept once it is adopted.
func (w writer) listed(n *registrar.Certificate) error {
	var authority, serial []byte
	var status string
	var at, end time.Time
	var reason int
	err := w.tx.QueryRow("SELECT authority, serial, status, revoked_at, revoke_reason, not_after FROM certificates WHERE domain = ? AND id = ?",
		n.Domain, blob(n.ID)).Scan(&authority, &serial, &status, &at, &reason, &end)
	if errors.Is(err, sqlitedb.ErrNoRows) { // an intent that was adopted
		return nil
	}
	released := status == string(registrar.Issued) && reason == registrar.ReasonRelease
	if err != nil || len(authority) == 0 || len(serial) == 0 || status != string(registrar.Revoked) && !released {
		return err
	}
	change, err := w.nextChange(n.Domain, authority)
	if err != nil {
		return err
	}
	return w.tx.Put(w.t.revocations, n.Domain, authority, registrar.PlaceOf(serial), serial, change, at, reason, end)
}

func (w writer) nextChange(domain string, authority []byte) (int64, error) {
	var last int64
	err := w.tx.QueryRow("SELECT coalesce(max(change), 0) FROM revocations WHERE domain = ? AND authority = ?", domain, authority).Scan(&last)
	return last + 1, err
}

func (w writer) crl(l *registrar.CRL) error {
	var last int64
	// A delta and its base are numbered together (RFC 5280, Section 5.2.3).
	err := w.tx.QueryRow("SELECT coalesce(max(number), -1) FROM lists WHERE domain = ? AND authority = ? AND partitions = ? AND place = ?",
		l.Domain, blob(l.Authority), l.Count, l.Index).Scan(&last)
	if err != nil {
		return err
	}
	if l.Number <= last {
		return fmt.Errorf("revocation list %d after %d: %w", l.Number, last, registrar.ErrConflict)
	}
	bases, err := json.Marshal(l.Bases)
	if err != nil {
		return err
	}
	return w.tx.Put(w.t.lists, l.Domain, blob(l.Authority), l.Count, l.Index, l.Delta, l.Number, l.Change, l.ThisUpdate, l.NextUpdate, bases, l.Raw)
}

func (w writer) partitions(all []*registrar.CRLPartitions) error {
	for _, p := range all {
		if err := w.tx.Put(w.t.partitions, p.Domain, blob(p.Authority), p.Count); err != nil {
			return err
		}
	}
	return nil
}

// LatestCRL implements registrar.CRLs.
func (s *Store) LatestCRL(ctx context.Context, domain string, scope registrar.CRLScope) (*registrar.CRL, error) {
	l := &registrar.CRL{Domain: domain, CRLScope: scope}
	var bases []byte
	err := s.db.QueryRow(ctx, `SELECT number, change, this_update, next_update, bases, raw FROM lists
	WHERE domain = ? AND authority = ? AND partitions = ? AND place = ? AND delta = ?`,
		domain, blob(scope.Authority), scope.Count, scope.Index, scope.Delta).
		Scan(&l.Number, &l.Change, &l.ThisUpdate, &l.NextUpdate, &bases, &l.Raw)
	if err != nil {
		return nil, notFound(err)
	}
	return l, json.Unmarshal(bases, &l.Bases)
}

// Revocations implements registrar.CRLs. A few changes are found by their
// numbers, and all of a partition by their places.
func (s *Store) Revocations(ctx context.Context, q *registrar.RevocationQuery) ([]*registrar.Revocation, error) {
	if q.Domain == "" || q.Limit < 1 || q.Limit > 10000 {
		return nil, fmt.Errorf("revocations: domain %q, limit %d: want a domain and 1 to 10000", q.Domain, q.Limit)
	}
	place, serial := q.First-1, bytes.Repeat([]byte{0xff}, 32) // behind every serial number of the place before
	if q.After != nil {
		place, serial = q.After.Place, q.After.Serial
	}
	query := `SELECT place, serial, change, revoked_at, reason, not_after FROM revocations
	WHERE domain = ? AND authority = ? AND (place, serial) > (?, ?) AND place <= ? AND +change > ? ORDER BY place, serial LIMIT ?`
	if q.Since >= 0 {
		query = `SELECT place, serial, change, revoked_at, reason, not_after FROM revocations INDEXED BY revocations_change
	WHERE domain = ? AND authority = ? AND (+place, serial) > (?, ?) AND +place <= ? AND change > ? ORDER BY place, serial LIMIT ?`
	}
	return list(ctx, s, scanRevocation, query, q.Domain, blob(q.Authority), place, serial, q.Last, q.Since, q.Limit)
}

func scanRevocation(row scanner) (*registrar.Revocation, error) {
	var r registrar.Revocation
	return &r, row.Scan(&r.Place, &r.Serial, &r.Change, &r.At, &r.Reason, &r.NotAfter)
}

// LatestChange implements registrar.CRLs.
func (s *Store) LatestChange(ctx context.Context, domain, authority string) (int64, error) {
	var n int64
	err := s.db.QueryRow(ctx, "SELECT coalesce(max(change), 0) FROM revocations WHERE domain = ? AND authority = ?", domain, blob(authority)).Scan(&n)
	return n, err
}

// CertificateState implements registrar.CRLs.
func (s *Store) CertificateState(ctx context.Context, domain, authority string, serial []byte) (registrar.CertificateState, error) {
	var c registrar.CertificateState
	var status string
	err := s.db.QueryRow(ctx, `SELECT status, revoked_at, revoke_reason FROM certificates INDEXED BY certificates_serial
	WHERE domain = ? AND serial = ? AND authority = ?`, domain, serial, blob(authority)).Scan(&status, &c.At, &c.Reason)
	switch {
	case errors.Is(err, sqlitedb.ErrNoRows):
		return registrar.CertificateState{}, nil
	case err != nil:
		return registrar.CertificateState{}, err
	}
	switch registrar.CertificateStatus(status) {
	case registrar.Issued: // and released, if it was on hold
		return registrar.CertificateState{Issued: true}, nil
	case registrar.Revoked:
		c.Issued, c.Revoked = true, true
		return c, nil
	default:
		return registrar.CertificateState{}, nil
	}
}

// CRLPartitions implements registrar.CRLs.
func (s *Store) CRLPartitions(ctx context.Context, domain, authority string) ([]int, error) {
	counts, err := list(ctx, s, func(row scanner) (*int, error) {
		n := new(int)
		return n, row.Scan(n)
	}, "SELECT partitions FROM list_partitions WHERE domain = ? AND authority = ? ORDER BY partitions", domain, blob(authority))
	out := make([]int, len(counts))
	for i, n := range counts {
		out[i] = *n
	}
	return out, err
}
