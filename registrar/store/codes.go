package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

const selectCode = `SELECT domain, serial_number, digest, created_at, expires_at, revoked, spent_at, spent_key, spent_names FROM codes `

func scanCode(row scanner) (*registrar.Code, error) {
	var k registrar.Code
	var key, names []byte
	err := row.Scan(&k.Domain, &k.SerialNumber, &k.Digest, &k.CreatedAt, &k.ExpiresAt, &k.Revoked, &k.SpentAt, &key, &names)
	if err != nil {
		return nil, notFound(err)
	}
	copy(k.SpentKey[:], key)
	copy(k.SpentNames[:], names)
	return &k, nil
}

// Code implements registrar.Codes.
func (s *Store) Code(ctx context.Context, domain, serialNumber string) (*registrar.Code, error) {
	return scanCode(s.db.QueryRow(ctx, selectCode+"WHERE domain = ? AND serial_number = ?", domain, serialNumber))
}

// ListCodes implements registrar.Codes.
func (s *Store) ListCodes(ctx context.Context, domain, after string, limit int) ([]*registrar.Code, error) {
	return list(ctx, s, scanCode, selectCode+"WHERE domain = ? AND serial_number > ? ORDER BY serial_number LIMIT ?", domain, after, limit)
}

func (w writer) putCode(k *registrar.Code) error {
	var key, names []byte
	if k.Spent() {
		key, names = k.SpentKey[:], k.SpentNames[:]
	}
	return w.tx.Put(w.t.codes, k.Domain, k.SerialNumber, k.Digest, k.CreatedAt, k.ExpiresAt, k.Revoked, k.SpentAt, key, names)
}

// spendable returns the code on record, or registrar.ErrConflict when it cannot be spent so.
func (w writer) spendable(p *registrar.Spending) (*registrar.Code, error) {
	k, err := scanCode(w.tx.QueryRow(selectCode+"WHERE domain = ? AND serial_number = ?", p.Domain, p.SerialNumber))
	switch {
	case errors.Is(err, registrar.ErrNotFound):
		return nil, fmt.Errorf("%w: there is none", registrar.ErrConflict)
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare(k.Digest, p.Digest) != 1 || !k.For(p.KeyHash, p.NamesHash):
		return nil, fmt.Errorf("%w: it was replaced, revoked or spent", registrar.ErrConflict)
	}
	return k, nil
}

// codes puts codes on record, and spends them.
func (w writer) codes(c *registrar.Change) error {
	for _, k := range c.PutCodes {
		if err := w.putCode(k); err != nil {
			return conflict(err, "code of", k.SerialNumber)
		}
	}
	for _, p := range c.Spendable {
		if _, err := w.spendable(p); err != nil {
			return fmt.Errorf("code of %q: %w", p.SerialNumber, err)
		}
	}
	for _, p := range c.Spend {
		k, err := w.spendable(p)
		if err == nil && !k.Spent() {
			k.SpentAt, k.SpentKey, k.SpentNames = p.At, p.KeyHash, p.NamesHash
			err = w.putCode(k)
		}
		if err != nil {
			return fmt.Errorf("code of %q: %w", p.SerialNumber, err)
		}
	}
	return nil
}

var (
	_ registrar.Codes = (*Store)(nil)
	_ scanner         = (*sqlitedb.Row)(nil)
)
