package storetest

import (
	"bytes"
	"cmp"
	"context"

	"github.com/briskest/briskest/registrar"
)

func copyCode(k *registrar.Code) *registrar.Code {
	c := *k
	c.Digest, c.CreatedAt, c.ExpiresAt, c.SpentAt = blob(k.Digest), moment(k.CreatedAt), moment(k.ExpiresAt), moment(k.SpentAt)
	return &c
}

func (s *state) applyCodes(c *registrar.Change) error {
	for _, k := range c.PutCodes {
		s.codes[name{k.Domain, k.SerialNumber}] = copyCode(k)
	}
	for _, p := range c.Spendable {
		if k := s.codes[name{p.Domain, p.SerialNumber}]; k == nil || !bytes.Equal(k.Digest, p.Digest) || !k.For(p.KeyHash, p.NamesHash) {
			return conflict("code of %s", p.SerialNumber)
		}
	}
	for _, p := range c.Spend {
		id := name{p.Domain, p.SerialNumber}
		k := s.codes[id]
		if k == nil || !bytes.Equal(k.Digest, p.Digest) || !k.For(p.KeyHash, p.NamesHash) {
			return conflict("code of %s", p.SerialNumber)
		}
		if !k.Spent() {
			k = copyCode(k)
			k.SpentAt, k.SpentKey, k.SpentNames = moment(p.At), p.KeyHash, p.NamesHash
			s.codes[id] = k
		}
	}
	return nil
}

// Code implements registrar.Codes.
func (m *Memory) Code(ctx context.Context, domain, serialNumber string) (*registrar.Code, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	k := s.codes[name{domain, serialNumber}]
	if k == nil {
		return nil, registrar.ErrNotFound
	}
	return copyCode(k), nil
}

// ListCodes implements registrar.Codes.
func (m *Memory) ListCodes(ctx context.Context, domain, after string, limit int) ([]*registrar.Code, error) {
	s, err := m.read(ctx)
	return pick(s.codes, limit, func(k *registrar.Code) bool { return k.Domain == domain && k.SerialNumber > after },
		func(a, b *registrar.Code) int { return cmp.Compare(a.SerialNumber, b.SerialNumber) }, copyCode), err
}
