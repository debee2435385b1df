package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

const intentColumns = `domain, id, issuer, authority, serial, origin, device_id, profile, version, operation, subject,
	tbs_hash, key_hash, names_hash, credential, not_before, not_after, intended_at`

// Where a serial number comes from; see migration 00007.
const (
	originHere = iota
	originElsewhere
	originBefore
)

const (
	// ID and serial number must not be those of an outcome, nor the latter that of
	// one from before whose CA is not known; that they are not another intent's the
	// keys of the table see to. The key must not be known to others.
	insertIntent = "INSERT INTO intents (" + intentColumns + `)
	SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18
	WHERE NOT EXISTS (SELECT 1 FROM certificates INDEXED BY certificates_serial WHERE domain = ?1 AND serial = ?5
		AND (authority = ?4 OR authority IS NULL))
	AND NOT EXISTS (SELECT 1 FROM certificates INDEXED BY certificates_id WHERE domain = ?1 AND id = ?2)
	AND NOT EXISTS (SELECT 1 FROM certificates INDEXED BY certificates_key WHERE substr(key_hash, 1, 8) = substr(?13, 1, 8)
		AND key_hash = ?13 AND domain = ?1 AND status = 'revoked' AND revoke_reason IN (1, 2, 10))`
	insertOutcome = "INSERT INTO certificates (" + intentColumns + `, status, issued_at, revoked_at, revoke_reason, explanation, raw)
	SELECT domain, id, issuer, coalesce(authority, ?7), coalesce(serial, ?8), origin, device_id, profile, version, operation, subject,
		tbs_hash, key_hash, names_hash, credential, not_before, not_after, intended_at, ?3, ?4, 0, 0, ?5, ?6
	FROM intents WHERE domain = ?1 AND id = ?2 AND (origin = 1) = ?9`
	deleteIntent = "DELETE FROM intents WHERE domain = ? AND id = ?"
	setRevoked   = `UPDATE certificates SET status = 'revoked', revoked_at = ?, revoke_reason = ?
	WHERE domain = ? AND id = ? AND (status = 'issued' OR status = 'revoked' AND revoke_reason = 6)`
	setReleased = `UPDATE certificates SET status = 'issued', revoked_at = ?, revoke_reason = 8
	WHERE domain = ? AND id = ? AND status = 'revoked' AND revoke_reason = 6`
	setAdopted = `UPDATE certificates SET issuer = ?, authority = ?
	WHERE domain = ? AND id = ? AND origin = 2 AND authority IS NULL`
)

// blob is an ID, or the name of an authority, as it is stored; nil for what is neither.
func blob(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

func (w writer) certificates(c *registrar.Change) error {
	for _, n := range c.Intents {
		if err := w.intent(n); err != nil {
			return conflict(err, "issuance", n.ID)
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
		changed, err := w.tx.Exec(setRevoked, n.RevokedAt, n.RevokeReason, n.Domain, blob(n.ID))
		if err := w.changed(changed, err, n, registrar.Issued); err != nil {
			return err
		}
		if err := w.listed(n); err != nil {
			return err
		}
	}
	for _, n := range c.Released {
		changed, err := w.tx.Exec(setReleased, n.RevokedAt, n.Domain, blob(n.ID))
		if err := w.changed(changed, err, n, "on hold"); err != nil {
			return err
		}
		if err := w.listed(n); err != nil {
			return err
		}
	}
	return w.unfinished(c)
}

func (w writer) intent(n *registrar.Certificate) error {
	origin, authority := originHere, blob(n.Authority)
	if n.Elsewhere {
		if len(n.Serial) > 0 || len(authority) > 0 {
			return fmt.Errorf("%w: another CA has not chosen the serial number yet", registrar.ErrConflict)
		}
		origin = originElsewhere
	}
	args := []any{
		n.Domain, blob(n.ID), n.Issuer, authority, n.Serial, origin, n.DeviceID, n.Profile, n.Version, n.Operation, n.Subject,
		n.TBSHash, n.KeyHash, n.NamesHash, n.Credential, n.NotBefore, n.NotAfter, n.IntendedAt,
	}
	inserted, err := w.tx.Exec(insertIntent, args...)
	if err != nil {
		return err
	}
	if inserted == 0 {
		return fmt.Errorf("%w: the ID or the serial number is taken, or the key is compromised", registrar.ErrConflict)
	}
	return w.tx.Cover(w.t.intents, append([]any{
		n.Domain, blob(n.ID), n.Issuer, authority, n.Serial, origin,
	}, args[6:]...)...)
}

// outcome moves an intent to certificates.
func (w writer) outcome(n *registrar.Certificate, status registrar.CertificateStatus, issued time.Time, why string, raw []byte) error {
	id := blob(n.ID)
	var authority, serial []byte
	if n.Elsewhere && status == registrar.Issued {
		authority, serial = blob(n.Authority), n.Serial
	}
	changed, err := w.tx.Exec(insertOutcome, n.Domain, id, string(status), issued, why, raw, authority, serial, n.Elsewhere)
	if err := moved(changed, err, n, registrar.Intended); err != nil {
		return conflict(err, "issuance", n.ID)
	}
	changed, err = w.tx.Exec(deleteIntent, n.Domain, id)
	if err := moved(changed, err, n, registrar.Intended); err != nil {
		return err
	}
	if len(serial) > 0 {
		if err := w.tx.Cover(w.t.learned, n.Domain, id, "", authority, serial); err != nil {
			return err
		}
	}
	return w.tx.Cover(w.t.outcomes, n.Domain, id, string(status), issued, 0, 0, why, raw)
}

// changed covers the outcome of a certificate whose status has changed.
func (w writer) changed(changed int64, err error, n *registrar.Certificate, from registrar.CertificateStatus) error {
	if err := moved(changed, err, n, from); err != nil {
		return err
	}
	var now registrar.Certificate
	var status string
	err = w.tx.QueryRow("SELECT status, issued_at, revoked_at, revoke_reason, raw FROM certificates WHERE domain = ? AND id = ?",
		n.Domain, blob(n.ID)).Scan(&status, &now.IssuedAt, &now.RevokedAt, &now.RevokeReason, &now.Raw)
	if err != nil {
		return err
	}
	return w.tx.Cover(w.t.outcomes, n.Domain, blob(n.ID), status, now.IssuedAt, now.RevokedAt, now.RevokeReason, "", now.Raw)
}

// moved says whether a certificate left the status it had to be in.
func moved(changed int64, err error, n *registrar.Certificate, from registrar.CertificateStatus) error {
	if err == nil && changed == 1 {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: it is not %s", registrar.ErrConflict, from)
	}
	return fmt.Errorf("issuance %s: %w", n.ID, err)
}

const certificateColumns = intentColumns + ", status, issued_at, revoked_at, revoke_reason, explanation, raw"

const selectIntents = "SELECT " + intentColumns + ", 'intended', 0, 0, 0, '', NULL FROM intents"

type scanner interface{ Scan(dest ...any) error }

func scanCertificate(row scanner) (*registrar.Certificate, error) {
	var c registrar.Certificate
	var status string
	var id, authority []byte
	var origin int
	err := row.Scan(&c.Domain, &id, &c.Issuer, &authority, &c.Serial, &origin, &c.DeviceID, &c.Profile, &c.Version, &c.Operation, &c.Subject, &c.TBSHash,
		&c.KeyHash, &c.NamesHash, &c.Credential, &c.NotBefore, &c.NotAfter, &c.IntendedAt, &status, &c.IssuedAt,
		&c.RevokedAt, &c.RevokeReason, &c.Explanation, &c.Raw)
	if err != nil {
		return nil, notFound(err)
	}
	c.Status, c.ID, c.Authority = registrar.CertificateStatus(status), hex.EncodeToString(id), hex.EncodeToString(authority)
	c.Elsewhere = origin == originElsewhere
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
func (s *Store) Certificate(ctx context.Context, domain, id string) (*registrar.Certificate, error) {
	return pointed(s.caches.certificates.Read(domain, id, func() (registrar.Certificate, error) {
		return valued(scanCertificate(s.db.QueryRow(ctx, "SELECT "+certificateColumns+
			" FROM issuances WHERE domain = ? AND id = ?", domain, blob(id))))
	}))
}

// CertificateOf implements registrar.Certificates. What is kept is the ID of one
// with the serial number, and counts only if that is the one.
func (s *Store) CertificateOf(ctx context.Context, domain string, serial, raw []byte) (*registrar.Certificate, error) {
	same := func(row *registrar.Certificate) bool { return len(raw) > 0 && bytes.Equal(row.Raw, raw) }
	var row *registrar.Certificate
	find := func() (string, error) {
		rows, err := list(ctx, s, scanCertificate, "SELECT "+certificateColumns+
			" FROM certificates INDEXED BY certificates_serial WHERE domain = ? AND serial = ?", domain, serial)
		if err != nil {
			return "", err
		}
		for _, row = range rows {
			if same(row) {
				return row.ID, nil
			}
		}
		row = nil
		return "", registrar.ErrNotFound
	}
	id, err := s.caches.serials.Read(domain, string(serial), find)
	if err != nil || row != nil {
		return row, err
	}
	if kept, err := s.Certificate(ctx, domain, id); err == nil && same(kept) {
		return kept, nil
	}
	_, err = find()
	return row, err
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
	f := &filter{where: "domain = ? AND id > coalesce(?, x'')", args: []any{q.Domain, blob(q.After)}}
	const unordered = "+domain = ? AND +id > coalesce(?, x'')"
	switch {
	case len(q.Serial) > 0:
		f.where = "domain = ? AND +id > coalesce(?, x'')"
		f.and("serial = ?", q.Serial)
	case len(q.KeyHash) > 0:
		f.where = unordered
		f.and("substr(key_hash, 1, 8) = ?", q.KeyHash[:8])
	case q.DeviceID != "":
		f.where = unordered
		f.and("device_id = ?", q.DeviceID)
	}
	if len(q.KeyHash) > 0 {
		f.and("key_hash = ?", q.KeyHash)
	}
	for _, c := range []struct{ condition, value string }{
		{"+device_id = ?", q.DeviceID}, {"+issuer = ?", q.Issuer}, {"+profile = ?", q.Profile}, {"+credential = ?", q.Credential},
	} {
		if c.value != "" {
			f.and(c.condition, c.value)
		}
	}
	if q.Authority != "" {
		f.and("+authority = ?", blob(q.Authority))
	}
	return s.listCertificates(ctx, q, f)
}

// filter is a condition with its arguments.
type filter struct {
	where string
	args  []any
}

func (f *filter) and(condition string, arg any) {
	f.where += " AND " + condition
	f.args = append(f.args, arg)
}

// listCertificates reads open intents and then outcomes. An intent that is
// decided between the two reads is seen as decided.
func (s *Store) listCertificates(ctx context.Context, q *registrar.CertificateQuery, f *filter) ([]*registrar.Certificate, error) {
	const last = " ORDER BY id LIMIT ?"
	var open, decided []*registrar.Certificate
	var err error
	if q.Status == "" && !q.Unadopted || q.Status == registrar.Intended {
		open, err = list(ctx, s, scanCertificate, selectIntents+" WHERE "+f.where+last, append(slices.Clip(f.args), q.Limit)...)
	}
	if err != nil || q.Status == registrar.Intended {
		return open, err
	}
	where, args := f.where, slices.Clip(f.args)
	switch q.Status {
	case "":
	case registrar.Issued:
		where += " AND +status = 'issued'"
	default:
		where += " AND status <> 'issued' AND status = ?"
		args = append(args, string(q.Status))
	}
	from := "certificates"
	if q.Unadopted {
		where += " AND origin = 2 AND authority IS NULL AND raw IS NOT NULL"
		from += " INDEXED BY certificates_unadopted"
	}
	decided, err = list(ctx, s, scanCertificate, "SELECT "+certificateColumns+" FROM "+from+" WHERE "+where+last,
		append(args, q.Limit)...)
	if err != nil {
		return nil, err
	}
	return merge(decided, open, q.Limit), nil
}

// merge returns up to limit of both lists in order of ID; of two with the
// same ID, that of the first list.
func merge(a, b []*registrar.Certificate, limit int) []*registrar.Certificate {
	if len(b) == 0 {
		return a
	}
	out := append(slices.Clip(a), b...)
	compare := func(x, y *registrar.Certificate) int { return strings.Compare(x.ID, y.ID) }
	slices.SortStableFunc(out, compare)
	out = slices.CompactFunc(out, func(x, y *registrar.Certificate) bool { return compare(x, y) == 0 })
	return out[:min(len(out), limit)]
}

// OpenIntents implements registrar.Certificates.
func (s *Store) OpenIntents(ctx context.Context) ([]*registrar.Certificate, error) {
	return list(ctx, s, scanCertificate, selectIntents+" ORDER BY domain, id")
}
