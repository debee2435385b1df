package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/briskest/briskest/registrar"
)

func (s *state) applyCertificates(c *registrar.Change) error {
	for _, n := range c.Intents {
		if err := s.intent(n); err != nil {
			return err
		}
	}
	for _, n := range c.Issued {
		err := s.move(n, intended, func(o *registrar.Certificate) error {
			o.Status, o.Raw, o.IssuedAt = registrar.Issued, blob(n.Raw), moment(n.IssuedAt)
			if o.Elsewhere {
				o.Serial, o.Authority = blob(n.Serial), n.Authority
				return s.unique(o)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, n := range c.Abandoned {
		err := s.move(n, intended, func(o *registrar.Certificate) error {
			o.Status, o.Explanation = registrar.Abandoned, n.Explanation
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.applyOutcomes(c)
}

// applyOutcomes does what becomes of certificates, and of what is unfinished.
func (s *state) applyOutcomes(c *registrar.Change) error {
	good := func(o *registrar.Certificate) bool { return o.Status == registrar.Issued || o.OnHold() }
	for _, n := range c.Revoked {
		err := s.move(n, good, func(o *registrar.Certificate) error {
			o.Status, o.RevokedAt, o.RevokeReason = registrar.Revoked, moment(n.RevokedAt), n.RevokeReason
			s.listed(o)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, n := range c.Released {
		err := s.move(n, (*registrar.Certificate).OnHold, func(o *registrar.Certificate) error {
			o.Status, o.RevokedAt, o.RevokeReason = registrar.Issued, moment(n.RevokedAt), registrar.ReasonRelease
			s.listed(o)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, n := range c.Adopted { // no row here is from before
		return conflict("issuance %s has an issuer", n.ID)
	}
	for _, o := range c.PutOutstanding {
		s.outstanding[name{o.Domain, o.ID}] = copyOutstanding(o)
	}
	for _, o := range c.DropOutstanding {
		delete(s.outstanding, name{o.Domain, o.ID})
	}
	for _, u := range c.PutUntold {
		s.untold[name{u.Domain, u.ID}] = copyUntold(u)
	}
	for _, u := range c.DropUntold {
		k := name{u.Domain, u.ID}
		if o := s.untold[k]; o != nil && o.At.Equal(moment(u.At)) && o.Reason == u.Reason {
			delete(s.untold, k)
		}
	}
	return nil
}

func (s *state) intent(n *registrar.Certificate) error {
	k := name{n.Domain, n.ID}
	if _, err := hex.DecodeString(n.ID); err != nil || n.ID == "" || s.certificates[k] != nil {
		return conflict("issuance %q", n.ID)
	}
	if n.Elsewhere && (n.Serial != nil || n.Authority != "") {
		return conflict("serial %x", n.Serial)
	}
	for _, o := range s.certificates {
		reasons := o.RevokeReason == 1 || o.RevokeReason == 2 || o.RevokeReason == 10
		if reasons && o.Status == registrar.Revoked && o.Domain == n.Domain && o.KeyHash == n.KeyHash {
			return conflict("key %x", n.KeyHash)
		}
	}
	if err := s.unique(n); err != nil {
		return err
	}
	s.certificates[k] = &issuance{Certificate: *intentOf(n), order: len(s.certificates)}
	return nil
}

// unique tells whether no other issuance has the authority's serial number.
func (s *state) unique(n *registrar.Certificate) error {
	for _, o := range s.certificates {
		if o.Domain == n.Domain && o.ID != n.ID && o.Authority == n.Authority && len(n.Serial) > 0 && bytes.Equal(o.Serial, n.Serial) {
			return conflict("serial %x", n.Serial)
		}
	}
	return nil
}

func intended(o *registrar.Certificate) bool { return o.Status == registrar.Intended }

func (s *state) move(n *registrar.Certificate, from func(*registrar.Certificate) bool, set func(*registrar.Certificate) error) error {
	k := name{n.Domain, n.ID}
	old := s.certificates[k]
	if old == nil || !from(&old.Certificate) || intended(&old.Certificate) && old.Elsewhere != n.Elsewhere {
		return conflict("issuance %s is not what it was", n.ID)
	}
	moved := *old
	if err := set(&moved.Certificate); err != nil {
		return err
	}
	s.certificates[k] = &moved
	return nil
}

func (s *state) list(limit int, keep func(*issuance) bool, order func(a, b *issuance) int) []*registrar.Certificate {
	found := pick(s.certificates, limit, keep, order, func(i *issuance) *issuance { return i })
	var out []*registrar.Certificate
	for _, i := range found {
		out = append(out, copyCertificate(&i.Certificate))
	}
	return out
}

func byIssuanceID(a, b *issuance) int { return cmp.Compare(a.ID, b.ID) }

// Certificate implements registrar.Certificates.
func (m *Memory) Certificate(ctx context.Context, domain, id string) (*registrar.Certificate, error) {
	s, err := m.read(ctx)
	return first(s.list(1, func(c *issuance) bool { return c.Domain == domain && c.ID == id }, byIssuanceID), err)
}

// CertificateOf implements registrar.Certificates.
func (m *Memory) CertificateOf(ctx context.Context, domain string, serial, raw []byte) (*registrar.Certificate, error) {
	s, err := m.read(ctx)
	return first(s.list(1, func(c *issuance) bool {
		return c.Domain == domain && c.Raw != nil && bytes.Equal(c.Serial, serial) && bytes.Equal(c.Raw, raw)
	}, byIssuanceID), err)
}

// CurrentCertificate implements registrar.Certificates.
func (m *Memory) CurrentCertificate(ctx context.Context, q *registrar.CurrentQuery) (*registrar.Certificate, error) {
	s, err := m.read(ctx)
	return first(s.list(1, func(c *issuance) bool {
		return c.Domain == q.Domain && c.DeviceID == q.DeviceID && c.Status == registrar.Issued &&
			c.KeyHash == q.KeyHash && c.NamesHash == q.NamesHash
	}, func(a, b *issuance) int { return cmp.Compare(b.order, a.order) }), err)
}

// ListCertificates implements registrar.Certificates.
func (m *Memory) ListCertificates(ctx context.Context, q *registrar.CertificateQuery) ([]*registrar.Certificate, error) {
	if q.Domain == "" || q.Limit < 1 || q.Limit > 10000 {
		return nil, fmt.Errorf("list certificates: domain %q, limit %d: want a domain and 1 to 10000", q.Domain, q.Limit)
	}
	if len(q.KeyHash) != 0 && len(q.KeyHash) != 32 {
		return nil, fmt.Errorf("list certificates: a key hash of %d bytes", len(q.KeyHash))
	}
	s, err := m.read(ctx)
	same := func(wanted, value string) bool { return wanted == "" || wanted == value }
	return s.list(q.Limit, func(c *issuance) bool {
		return c.Domain == q.Domain && same(q.DeviceID, c.DeviceID) && same(string(q.Serial), string(c.Serial)) &&
			same(string(q.KeyHash), string(c.KeyHash[:])) && same(q.Issuer, c.Issuer) && same(q.Authority, c.Authority) &&
			same(q.Profile, c.Profile) && same(q.Credential, c.Credential) && !q.Unadopted &&
			(q.Status == "" || c.Status == q.Status) && c.ID > q.After
	}, byIssuanceID), err
}

// OpenIntents implements registrar.Unfinished.
func (m *Memory) OpenIntents(ctx context.Context) ([]*registrar.Certificate, error) {
	s, err := m.read(ctx)
	return s.list(0, func(c *issuance) bool { return c.Status == registrar.Intended }, byIssuanceID), err
}

// Outstanding implements registrar.Unfinished.
func (m *Memory) Outstanding(ctx context.Context, domain, id string) (*registrar.Outstanding, error) {
	s, err := m.read(ctx)
	return first(pick(s.outstanding, 1, func(o *registrar.Outstanding) bool { return o.Domain == domain && o.ID == id },
		func(a, b *registrar.Outstanding) int { return 0 }, copyOutstanding), err)
}

// ListOutstanding implements registrar.Unfinished.
func (m *Memory) ListOutstanding(ctx context.Context) ([]*registrar.Outstanding, error) {
	s, err := m.read(ctx)
	return pick(s.outstanding, 0, func(*registrar.Outstanding) bool { return true }, func(a, b *registrar.Outstanding) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.ID, b.ID))
	}, copyOutstanding), err
}

// ListUntold implements registrar.Unfinished.
func (m *Memory) ListUntold(ctx context.Context, domain, after string, limit int) ([]*registrar.Untold, error) {
	s, err := m.read(ctx)
	return pick(s.untold, limit, func(u *registrar.Untold) bool { return u.Domain == domain && u.ID > after },
		func(a, b *registrar.Untold) int { return cmp.Compare(a.ID, b.ID) }, copyUntold), err
}

func copyOutstanding(o *registrar.Outstanding) *registrar.Outstanding {
	c := *o
	c.CSR, c.Decided, c.State = blob(o.CSR), blob(o.Decided), blob(o.State)
	return &c
}

func copyUntold(u *registrar.Untold) *registrar.Untold {
	c := *u
	c.At = moment(u.At)
	return &c
}
