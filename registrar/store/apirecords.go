package store

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

const selectAPIToken = `SELECT domain, id, name, role, digest, created_at, created_by, expires_at, revoked FROM api_tokens `

func scanAPIToken(row scanner) (*registrar.APIToken, error) {
	var t registrar.APIToken
	err := row.Scan(&t.Domain, &t.ID, &t.Name, &t.Role, &t.Digest, &t.CreatedAt, &t.CreatedBy, &t.ExpiresAt, &t.Revoked)
	if err != nil {
		return nil, notFound(err)
	}
	return &t, nil
}

// APIToken implements registrar.APIRecords.
func (s *Store) APIToken(ctx context.Context, domain, id string) (*registrar.APIToken, error) {
	return scanAPIToken(s.db.QueryRow(ctx, selectAPIToken+"WHERE domain = ? AND id = ?", domain, id))
}

// ListAPITokens implements registrar.APIRecords.
func (s *Store) ListAPITokens(ctx context.Context, domain, after string, limit int) ([]*registrar.APIToken, error) {
	return list(ctx, s, scanAPIToken, selectAPIToken+"WHERE domain = ? AND id > ? ORDER BY id LIMIT ?", domain, after, limit)
}

// Reply implements registrar.APIRecords.
func (s *Store) Reply(ctx context.Context, domain, principal, key string) (*registrar.Reply, error) {
	var r registrar.Reply
	err := s.db.QueryRow(ctx, `SELECT domain, principal, key, operation, request_hash, status, body, at FROM api_replies
		WHERE domain = ? AND principal = ? AND key = ?`, domain, principal, key).
		Scan(&r.Domain, &r.Principal, &r.Key, &r.Operation, &r.RequestHash, &r.Status, &r.Body, &r.At)
	if err != nil {
		return nil, notFound(err)
	}
	return &r, nil
}

// api writes what the operators' API keeps.
func (w writer) api(c *registrar.Change) error {
	for _, t := range c.PutAPITokens {
		if err := w.tx.Put(w.t.apiTokens, t.Domain, t.ID, t.Name, t.Role, t.Digest, t.CreatedAt, t.CreatedBy, t.ExpiresAt, t.Revoked); err != nil {
			return conflict(err, "token", t.ID)
		}
	}
	if r := c.BeginReply; r != nil {
		if err := w.beginReply(r); err != nil {
			return conflict(err, "idempotency key", r.Key)
		}
	}
	if r := c.EndReply; r != nil {
		query, values := `UPDATE api_replies SET status = ?, body = ? WHERE domain = ? AND principal = ? AND key = ?`, []any{r.Status, r.Body}
		if r.Status == 0 {
			query, values = `DELETE FROM api_replies WHERE domain = ? AND principal = ? AND key = ?`, nil
		}
		_, err := w.tx.Exec(query, append(values, r.Domain, r.Principal, r.Key)...)
		return err
	}
	return nil
}

func (w writer) beginReply(r *registrar.Reply) error {
	_, err := w.tx.Exec(`DELETE FROM api_replies WHERE domain = ? AND principal = ? AND at <= ?`, r.Domain, r.Principal, r.At.Add(-registrar.ReplyLifetime))
	if err == nil {
		_, err = w.tx.Exec(`INSERT INTO api_replies (domain, principal, key, operation, request_hash, status, body, at) VALUES (?, ?, ?, ?, ?, 0, NULL, ?)`,
			r.Domain, r.Principal, r.Key, r.Operation, r.RequestHash, r.At)
	}
	if err == nil {
		_, err = w.tx.Exec(`DELETE FROM api_replies WHERE domain = ? AND principal = ? AND id <= (SELECT id FROM api_replies
			WHERE domain = ? AND principal = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, r.Domain, r.Principal, r.Domain, r.Principal, registrar.MaxReplies)
	}
	return err
}

var _ registrar.APIRecords = (*Store)(nil)
