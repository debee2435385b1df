package store

import (
	"context"
	"encoding/hex"

	"github.com/briskest/briskest/registrar"
)

// unfinished writes what is to be gone on with, and what has been.
func (w writer) unfinished(c *registrar.Change) error {
	for _, n := range c.Adopted {
		authority := blob(n.Authority)
		changed, err := w.tx.Exec(setAdopted, n.Issuer, authority, n.Domain, blob(n.ID))
		if err := moved(changed, err, n, "without a CA"); err != nil {
			return conflict(err, "issuance", n.ID)
		}
		if err := w.tx.Cover(w.t.learned, n.Domain, blob(n.ID), n.Issuer, authority, nil); err != nil {
			return err
		}
		if err := w.listed(n); err != nil {
			return err
		}
	}
	for _, o := range c.PutOutstanding {
		if err := w.tx.Put(w.t.outstanding, o.Domain, blob(o.ID), o.CSR, o.Decided, o.State); err != nil {
			return err
		}
	}
	for _, o := range c.DropOutstanding {
		n, err := w.tx.Exec("DELETE FROM outstanding WHERE domain = ? AND id = ?", o.Domain, blob(o.ID))
		if err == nil && n > 0 {
			err = w.tx.Uncover(w.t.outstanding, o.Domain, blob(o.ID))
		}
		if err != nil {
			return err
		}
	}
	for _, u := range c.PutUntold {
		if err := w.tx.Put(w.t.untold, u.Domain, blob(u.ID), u.At, u.Reason); err != nil {
			return err
		}
	}
	for _, u := range c.DropUntold {
		n, err := w.tx.Exec("DELETE FROM untold WHERE domain = ? AND id = ? AND at = ? AND reason = ?", u.Domain, blob(u.ID), u.At, u.Reason)
		if err == nil && n > 0 {
			err = w.tx.Uncover(w.t.untold, u.Domain, blob(u.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func scanOutstanding(row scanner) (*registrar.Outstanding, error) {
	var o registrar.Outstanding
	var id []byte
	if err := row.Scan(&o.Domain, &id, &o.CSR, &o.Decided, &o.State); err != nil {
		return nil, notFound(err)
	}
	o.ID = hex.EncodeToString(id)
	return &o, nil
}

func scanUntold(row scanner) (*registrar.Untold, error) {
	var u registrar.Untold
	var id []byte
	err := row.Scan(&u.Domain, &id, &u.At, &u.Reason)
	u.ID = hex.EncodeToString(id)
	return &u, err
}

// Outstanding implements registrar.Unfinished.
func (s *Store) Outstanding(ctx context.Context, domain, id string) (*registrar.Outstanding, error) {
	return scanOutstanding(s.db.QueryRow(ctx, "SELECT domain, id, csr, decided, state FROM outstanding WHERE domain = ? AND id = ?", domain, blob(id)))
}

// ListOutstanding implements registrar.Unfinished.
func (s *Store) ListOutstanding(ctx context.Context) ([]*registrar.Outstanding, error) {
	return list(ctx, s, scanOutstanding, "SELECT domain, id, csr, decided, state FROM outstanding ORDER BY domain, id")
}

// ListUntold implements registrar.Unfinished.
func (s *Store) ListUntold(ctx context.Context, domain, after string, limit int) ([]*registrar.Untold, error) {
	return list(ctx, s, scanUntold, "SELECT domain, id, at, reason FROM untold WHERE domain = ? AND id > coalesce(?, x'') ORDER BY id LIMIT ?",
		domain, blob(after), limit)
}
