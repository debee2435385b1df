package store

import (
	"context"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

const selectPending = `SELECT domain, id, kind, key, manufacturer, serial_number, subject, address, state, reason,
	seen, first_at, last_at, decided_at, decided_by, evidence FROM pending `

func scanPending(row scanner) (*registrar.Pending, error) {
	var p registrar.Pending
	err := row.Scan(&p.Domain, &p.ID, &p.Kind, &p.Key, &p.Manufacturer, &p.SerialNumber, &p.Subject, &p.Address,
		&p.State, &p.Reason, &p.Seen, &p.FirstAt, &p.LastAt, &p.DecidedAt, &p.DecidedBy, &p.Evidence)
	if err != nil {
		return nil, notFound(err)
	}
	return &p, nil
}

// Pending implements registrar.Requests.
func (s *Store) Pending(ctx context.Context, domain, id string) (*registrar.Pending, error) {
	return scanPending(s.db.QueryRow(ctx, selectPending+"WHERE domain = ? AND id = ?", domain, id))
}

// PendingByKey implements registrar.Requests.
func (s *Store) PendingByKey(ctx context.Context, domain, kind, key string) (*registrar.Pending, error) {
	return scanPending(s.db.QueryRow(ctx, selectPending+"WHERE domain = ? AND kind = ? AND key = ?", domain, kind, key))
}

// ListPending implements registrar.Requests.
func (s *Store) ListPending(ctx context.Context, domain, state string, limit int) ([]*registrar.Pending, error) {
	if state == "" {
		return list(ctx, s, scanPending, selectPending+"WHERE domain = ? ORDER BY id DESC LIMIT ?", domain, limit)
	}
	return list(ctx, s, scanPending, selectPending+"WHERE domain = ? AND state = ? ORDER BY id DESC LIMIT ?",
		domain, state, limit)
}

// CountPending implements registrar.Requests: it counts what is waiting.
func (s *Store) CountPending(ctx context.Context, domain string) (int, error) {
	var n int
	err := s.db.QueryRow(ctx, "SELECT count(*) FROM pending WHERE domain = ? AND state = 'waiting'", domain).Scan(&n)
	return n, err
}

// Credentials of before there was Digest have no row in credential_digests.
const selectCredential = `SELECT domain, user, scheme, salt, digest, grouped, disabled, created_at,
	coalesce(realm, ''), coalesce(ha1, ''), coalesce(ha1_md5, '') FROM credentials LEFT JOIN credential_digests USING (domain, user) `

func scanCredential(row scanner) (*registrar.Credential, error) {
	var k registrar.Credential
	var ha1, md5 string
	err := row.Scan(&k.Domain, &k.User, &k.Scheme, &k.Salt, &k.Digest, &k.Group, &k.Disabled, &k.CreatedAt, &k.Realm, &ha1, &md5)
	if err != nil {
		return nil, notFound(err)
	}
	k.HA1, k.HA1MD5 = est.Secret(ha1), est.Secret(md5)
	return &k, nil
}

// Credential implements registrar.Credentials.
func (s *Store) Credential(ctx context.Context, domain, user string) (*registrar.Credential, error) {
	return pointed(s.caches.credentials.Read(domain, user, func() (registrar.Credential, error) {
		return valued(scanCredential(s.db.QueryRow(ctx, selectCredential+"WHERE domain = ? AND user = ?", domain, user)))
	}))
}

// ListCredentials implements registrar.Credentials.
func (s *Store) ListCredentials(ctx context.Context, domain string) ([]*registrar.Credential, error) {
	return list(ctx, s, scanCredential, selectCredential+"WHERE domain = ? ORDER BY user", domain)
}
