package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

const intentColumns = `domain, serial, device_id, profile, version, operation, subject, tbs_hash, key_hash,
	names_hash, credential, not_before, not_after, intended_at`

const (
	// The serial number must not be that of an outcome; that it is not another
	// intent's the primary key sees to. The key must not be known to others.
	insertIntent = "INSERT INTO intents (" + intentColumns + `)
	SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
	WHERE NOT EXISTS (SELECT 1 FROM certificates WHERE domain = ?1 AND serial = ?2)
	AND NOT EXISTS (SELECT 1 FROM certificates INDEXED BY certificates_key WHERE substr(key_hash, 1, 8) = substr(?9, 1, 8)
		AND key_hash = ?9 AND domain = ?1 AND status = 'revoked' AND revoke_reason IN (1, 2, 10))`
	insertOutcome = "INSERT INTO certificates (" + intentColumns + `, status, issued_at, revoked_at, revoke_reason, explanation, raw)
	SELECT ` + intentColumns + ", ?3, ?4, 0, 0, ?5, ?6 FROM intents WHERE domain = ?1 AND serial = ?2"
	deleteIntent = "DELETE FROM intents WHERE domain = ? AND serial = ?"
	setRevoked   = `UPDATE certificates SET status = 'revoked', revoked_at = ?, revoke_reason = ?
	WHERE domain = ? AND serial = ? AND status = 'issued'`
)

func (w writer) certificates(c *registrar.Change) error {
	for _, n := range c.Intents {
		if err := w.intent(n); err != nil {
			return conflict(err, "certificate", hex.EncodeToString(n.Serial))
		}
	}
	for _, n := range c.Issued {
		if err := w.outcome(n, registrar.Issued, n.IssuedAt, "", n.Raw); err != nil {
			return err
		}
	}
	for _, n := range c.Abandoned {
		if err := w.outcome(n, registrar.Abandoned, time.Time{}, n.Explanation, nil); err != nil {
			return err
		}
	}
	for _, n := range c.Revoked {
		if err := w.revoked(n); err != nil {
			return err
		}
	}
	return nil
}

func (w writer) intent(n *registrar.Certificate) error {
	args := []any{
		n.Domain, n.Serial, n.DeviceID, n.Profile, n.Version, n.Operation, n.Subject,
		n.TBSHash, n.KeyHash, n.NamesHash, n.Credential, n.NotBefore, n.NotAfter, n.IntendedAt,
	}
	inserted, err := w.tx.Exec(insertIntent, args...)
	if err != nil {
		return err
	}
	if inserted == 0 {
		return fmt.Errorf("%w: the serial number is taken, or the key is compromised", registrar.ErrConflict)
	}
	return w.tx.Cover(w.t.intents, args...)
}

// outcome moves an intent to certificates.
func (w writer) outcome(n *registrar.Certificate, status registrar.CertificateStatus, issued time.Time, why string, raw []byte) error {
	changed, err := w.tx.Exec(insertOutcome, n.Domain, n.Serial, string(status), issued, why, raw)
	if err := moved(changed, err, n, registrar.Intended); err != nil {
		return err
	}
	changed, err = w.tx.Exec(deleteIntent, n.Domain, n.Serial)
	if err := moved(changed, err, n, registrar.Intended); err != nil {
		return err
	}
	return w.tx.Cover(w.t.outcomes, n.Domain, n.Serial, string(status), issued, 0, 0, why, raw)
}

func (w writer) revoked(n *registrar.Certificate) error {
	changed, err := w.tx.Exec(setRevoked, n.RevokedAt, n.RevokeReason, n.Domain, n.Serial)
	if err := moved(changed, err, n, registrar.Issued); err != nil {
		return err
	}
	var was registrar.Certificate
	err = w.tx.QueryRow("SELECT issued_at, raw FROM certificates WHERE domain = ? AND serial = ?", n.Domain, n.Serial).
		Scan(&was.IssuedAt, &was.Raw)
	if err != nil {
		return err
	}
	return w.tx.Cover(w.t.outcomes, n.Domain, n.Serial, string(registrar.Revoked), was.IssuedAt,
		n.RevokedAt, n.RevokeReason, "", was.Raw)
}

// moved says whether a certificate left the status it had to be in.
func moved(changed int64, err error, n *registrar.Certificate, from registrar.CertificateStatus) error {
	if err == nil && changed == 1 {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: it is not %s", registrar.ErrConflict, from)
	}
	return fmt.Errorf("certificate %x: %w", n.Serial, err)
}

const certificateColumns = intentColumns + ", status, issued_at, revoked_at, revoke_reason, explanation, raw"

const selectIntents = "SELECT " + intentColumns + ", 'intended', 0, 0, 0, '', NULL FROM intents"

type scanner interface{ Scan(dest ...any) error }

func scanCertificate(row scanner) (*registrar.Certificate, error) {
	var c registrar.Certificate
	var status string
	err := row.Scan(&c.Domain, &c.Serial, &c.DeviceID, &c.Profile, &c.Version, &c.Operation, &c.Subject, &c.TBSHash,
		&c.KeyHash, &c.NamesHash, &c.Credential, &c.NotBefore, &c.NotAfter, &c.IntendedAt, &status, &c.IssuedAt,
		&c.RevokedAt, &c.RevokeReason, &c.Explanation, &c.Raw)
	if err != nil {
		return nil, notFound(err)
	}
	c.Status = registrar.CertificateStatus(status)
	return &c, nil
}

func notFound(err error) error {
	if errors.Is(err, sqlitedb.ErrNoRows) {
		return registrar.ErrNotFound
	}
	return err
}

// list scans every row that the query gives.
func list[T any](ctx context.Context, s *Store, scan func(scanner) (*T, error), query string, args ...any) ([]*T, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []*T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// Certificate implements registrar.Certificates.
func (s *Store) Certificate(ctx context.Context, domain string, serial []byte) (*registrar.Certificate, error) {
	return pointed(s.caches.certificates.Read(domain, string(serial), func() (registrar.Certificate, error) {
		return valued(scanCertificate(s.db.QueryRow(ctx, "SELECT "+certificateColumns+
			" FROM issuances WHERE domain = ? AND serial = ?", domain, serial)))
	}))
}

// CurrentCertificate implements registrar.Certificates.
func (s *Store) CurrentCertificate(ctx context.Context, q *registrar.CurrentQuery) (*registrar.Certificate, error) {
	return scanCertificate(s.db.QueryRow(ctx, "SELECT "+certificateColumns+
		" FROM certificates INDEXED BY certificates_key WHERE substr(key_hash, 1, 8) = ? AND key_hash = ?"+
		" AND domain = ? AND device_id = ? AND names_hash = ? AND status = 'issued' ORDER BY rowid DESC LIMIT 1",
		q.KeyHash[:8], q.KeyHash, q.Domain, q.DeviceID, q.NamesHash))
}

// ListCertificates implements registrar.Certificates. A plus before a column
// keeps SQLite from taking an index that serves the order instead of the one
// that serves the filter.
func (s *Store) ListCertificates(ctx context.Context, q *registrar.CertificateQuery) ([]*registrar.Certificate, error) {
	if q.Domain == "" || q.Limit < 1 || q.Limit > 10000 {
		return nil, fmt.Errorf("list certificates: domain %q, limit %d: want a domain and 1 to 10000", q.Domain, q.Limit)
	}
	if len(q.KeyHash) != 0 && len(q.KeyHash) != sha256.Size {
		return nil, fmt.Errorf("list certificates: a key hash of %d bytes, want %d", len(q.KeyHash), sha256.Size)
	}
	where, args := "domain = ? AND serial > coalesce(?, x'')", []any{q.Domain, q.After}
	switch {
	case len(q.KeyHash) > 0:
		where = "+domain = ? AND +serial > coalesce(?, x'') AND substr(key_hash, 1, 8) = ? AND key_hash = ?"
		args = append(args, q.KeyHash[:8], q.KeyHash)
	case q.DeviceID != "":
		where = "+domain = ? AND +serial > coalesce(?, x'') AND device_id = ?"
		args = append(args, q.DeviceID)
	}
	return s.listCertificates(ctx, q, where, args)
}

// listCertificates reads open intents and then outcomes. An intent that is
// decided between the two reads is seen as decided.
func (s *Store) listCertificates(ctx context.Context, q *registrar.CertificateQuery, where string, args []any) ([]*registrar.Certificate, error) {
	if q.DeviceID != "" && len(q.KeyHash) > 0 {
		where += " AND +device_id = ?"
		args = append(args, q.DeviceID)
	}
	const last = " ORDER BY serial LIMIT ?"
	var open, decided []*registrar.Certificate
	var err error
	if q.Status == "" || q.Status == registrar.Intended {
		open, err = list(ctx, s, scanCertificate, selectIntents+" WHERE "+where+last, append(slices.Clip(args), q.Limit)...)
	}
	if err != nil || q.Status == registrar.Intended {
		return open, err
	}
	switch q.Status {
	case "":
	case registrar.Issued:
		where += " AND +status = 'issued'"
	default:
		where += " AND status <> 'issued' AND status = ?"
		args = append(args, string(q.Status))
	}
	decided, err = list(ctx, s, scanCertificate, "SELECT "+certificateColumns+" FROM certificates WHERE "+where+last,
		append(args, q.Limit)...)
	if err != nil {
		return nil, err
	}
	return merge(decided, open, q.Limit), nil
}

// merge returns up to limit of both lists in order of serial; of two with the
// same serial, that of the first list.
func merge(a, b []*registrar.Certificate, limit int) []*registrar.Certificate {
	if len(b) == 0 {
		return a
	}
	out := append(slices.Clip(a), b...)
	compare := func(x, y *registrar.Certificate) int { return bytes.Compare(x.Serial, y.Serial) }
	slices.SortStableFunc(out, compare)
	out = slices.CompactFunc(out, func(x, y *registrar.Certificate) bool { return compare(x, y) == 0 })
	return out[:min(len(out), limit)]
}

// OpenIntents implements registrar.Certificates.
func (s *Store) OpenIntents(ctx context.Context) ([]*registrar.Certificate, error) {
	return list(ctx, s, scanCertificate, selectIntents+" ORDER BY domain, serial")
}

// LatestCRL implements registrar.Certificates.
func (s *Store) LatestCRL(ctx context.Context, domain string) (*registrar.CRL, error) {
	var l registrar.CRL
	err := s.db.QueryRow(ctx, `SELECT domain, number, this_update, next_update, raw FROM crls
	WHERE domain = ? ORDER BY number DESC LIMIT 1`, domain).Scan(&l.Domain, &l.Number, &l.ThisUpdate, &l.NextUpdate, &l.Raw)
	if err != nil {
		return nil, notFound(err)
	}
	return &l, nil
}
