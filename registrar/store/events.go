package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

var _ registrar.Outbox = (*Store)(nil)

// TrailEnd implements registrar.Outbox.
func (s *Store) TrailEnd(ctx context.Context) (int64, error) {
	var end int64
	err := s.db.QueryRow(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM trail_entries").Scan(&end)
	return end, err
}

// EventTarget implements registrar.Outbox.
func (s *Store) EventTarget(ctx context.Context, domain, name string) (*registrar.EventTarget, error) {
	t := &registrar.EventTarget{Domain: domain, Name: name}
	err := s.db.QueryRow(ctx, `SELECT next, at, delivered,
		(SELECT count(*) FROM event_letters WHERE domain = t.domain AND target = t.name AND dead = 0),
		(SELECT count(*) FROM event_letters WHERE domain = t.domain AND target = t.name AND dead = 1)
		FROM event_targets t WHERE domain = ? AND name = ?`, domain, name).Scan(&t.Next, &t.At, &t.Delivered, &t.Waiting, &t.Dead)
	return t, notFound(err)
}

// where makes the condition of a query of letters or receipts.
func eventsWhere(q *registrar.EventQuery) (string, []any) {
	text := strings.Builder{}
	text.WriteString("WHERE domain = ? AND seq >= ?")
	args := []any{q.Domain, q.From}
	and := func(column string, value any) {
		text.WriteString(" AND " + column + " = ?")
		args = append(args, value)
	}
	if q.Target != "" {
		and("target", q.Target)
	}
	if q.Device != "" {
		and("device", q.Device)
	}
	if q.Dead != nil {
		and("dead", *q.Dead)
	}
	text.WriteString(" ORDER BY seq, target LIMIT ?")
	return text.String(), append(args, q.Limit)
}

// EventLetters implements registrar.Outbox.
func (s *Store) EventLetters(ctx context.Context, q *registrar.EventQuery) ([]*registrar.EventLetter, error) {
	where, args := eventsWhere(q)
	return list(ctx, s, func(row scanner) (*registrar.EventLetter, error) {
		l := &registrar.EventLetter{}
		return l, row.Scan(&l.Domain, &l.Target, &l.Seq, &l.Device, &l.Dead, &l.Tries, &l.Answer, &l.At)
	}, "SELECT domain, target, seq, device, dead, tries, answer, at FROM event_letters "+where, args...)
}

// EventReceipts implements registrar.Outbox.
func (s *Store) EventReceipts(ctx context.Context, q *registrar.EventQuery) ([]*registrar.EventReceipt, error) {
	if q.Dead != nil {
		return nil, fmt.Errorf("receipts are of no dead letters: %w", registrar.ErrInvalid)
	}
	where, args := eventsWhere(q)
	return list(ctx, s, func(row scanner) (*registrar.EventReceipt, error) {
		r := &registrar.EventReceipt{}
		return r, row.Scan(&r.Domain, &r.Target, &r.Seq, &r.Device, &r.At, &r.Answer)
	}, "SELECT domain, target, seq, device, at, answer FROM event_receipts "+where, args...)
}

// CommitEvents implements registrar.Outbox.
func (s *Store) CommitEvents(ctx context.Context, p *registrar.EventProgress) error {
	return s.db.Commit(ctx, func(tx *sqlitedb.Tx) error {
		t := p.Target
		if _, err := tx.Exec(`INSERT INTO event_targets (domain, name, next, at, delivered) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (domain, name) DO UPDATE SET next = excluded.next, at = excluded.at, delivered = excluded.delivered`,
			t.Domain, t.Name, t.Next, t.At, t.Delivered); err != nil {
			return err
		}
		for _, r := range p.Receipts {
			if _, err := tx.Exec(`INSERT OR REPLACE INTO event_receipts (domain, target, seq, device, at, answer) VALUES (?, ?, ?, ?, ?, ?)`,
				t.Domain, t.Name, r.Seq, r.Device, r.At, r.Answer); err != nil {
				return err
			}
		}
		for _, l := range p.Put {
			if _, err := tx.Exec(`INSERT OR REPLACE INTO event_letters (domain, target, seq, device, dead, tries, answer, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				t.Domain, t.Name, l.Seq, l.Device, l.Dead, l.Tries, l.Answer, l.At); err != nil {
				return err
			}
		}
		for _, l := range p.Drop {
			if _, err := tx.Exec(`DELETE FROM event_letters WHERE domain = ? AND target = ? AND seq = ?`, t.Domain, t.Name, l.Seq); err != nil {
				return err
			}
		}
		if !p.Forget.IsZero() {
			if _, err := tx.Exec(`DELETE FROM event_receipts WHERE domain = ? AND target = ? AND at < ?`, t.Domain, t.Name, p.Forget); err != nil {
				return err
			}
		}
		tx.Record(p.Trail...)
		if len(p.Trail) > 0 {
			tx.OnCommit(s.woken)
		}
		return nil
	})
}
