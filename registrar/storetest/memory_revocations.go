package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/briskest/briskest/registrar"
)

// place is where a row of lists belongs: a domain and an authority.
type place struct{ domain, authority string }

// listed keeps what lists need of a certificate whose status has changed.
func (s *state) listed(n *registrar.Certificate) {
	released := n.Status == registrar.Issued && n.RevokeReason == registrar.ReasonRelease
	if n.Authority == "" || len(n.Serial) == 0 || n.Status != registrar.Revoked && !released {
		return
	}
	k := place{n.Domain, n.Authority}
	var last int64
	var rows []*registrar.Revocation
	for _, r := range s.revocations[k] {
		last = max(last, r.Change)
		if !bytes.Equal(r.Serial, n.Serial) {
			rows = append(rows, r)
		}
	}
	s.revocations[k] = append(rows, &registrar.Revocation{
		Place: registrar.PlaceOf(n.Serial), Serial: n.Serial, Change: last + 1, At: n.RevokedAt, Reason: n.RevokeReason, NotAfter: n.NotAfter,
	})
}

func (s *state) putCRL(l *registrar.CRL) error {
	for k, old := range s.lists {
		same := k.domain == l.Domain && k.CRLScope.Authority == l.Authority && k.Count == l.Count && k.Index == l.Index
		if same && old.Number >= l.Number {
			return conflict("list %d", l.Number)
		}
	}
	s.lists[scope{l.Domain, l.CRLScope}] = copyCRL(l)
	return nil
}

func (s *state) putPartitions(p *registrar.CRLPartitions) {
	k := place{p.Domain, p.Authority}
	if !slices.Contains(s.partitions[k], p.Count) {
		s.partitions[k] = append(slices.Clone(s.partitions[k]), p.Count)
		slices.Sort(s.partitions[k])
	}
}

// scope is a series of lists.
type scope struct {
	domain string
	registrar.CRLScope
}

// LatestCRL implements registrar.CRLs.
func (m *Memory) LatestCRL(ctx context.Context, domain string, of registrar.CRLScope) (*registrar.CRL, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	if l := s.lists[scope{domain, of}]; l != nil {
		return copyCRL(l), nil
	}
	return nil, registrar.ErrNotFound
}

// Revocations implements registrar.CRLs.
func (m *Memory) Revocations(ctx context.Context, q *registrar.RevocationQuery) ([]*registrar.Revocation, error) {
	if q.Domain == "" || q.Limit < 1 || q.Limit > 10000 {
		return nil, fmt.Errorf("revocations: domain %q, limit %d", q.Domain, q.Limit)
	}
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	order := func(a, b *registrar.Revocation) int {
		return cmp.Or(cmp.Compare(a.Place, b.Place), bytes.Compare(a.Serial, b.Serial))
	}
	var out []*registrar.Revocation
	for _, r := range s.revocations[place{q.Domain, q.Authority}] {
		if r.Place >= q.First && r.Place <= q.Last && r.Change > q.Since && (q.After == nil || order(r, q.After) > 0) {
			c := *r
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, order)
	return out[:min(len(out), q.Limit)], nil
}

// LatestChange implements registrar.CRLs.
func (m *Memory) LatestChange(ctx context.Context, domain, authority string) (int64, error) {
	s, err := m.read(ctx)
	if err != nil {
		return 0, err
	}
	var last int64
	for _, r := range s.revocations[place{domain, authority}] {
		last = max(last, r.Change)
	}
	return last, nil
}

// CertificateState implements registrar.CRLs.
func (m *Memory) CertificateState(ctx context.Context, domain, authority string, serial []byte) (registrar.CertificateState, error) {
	s, err := m.read(ctx)
	if err != nil {
		return registrar.CertificateState{}, err
	}
	for _, i := range s.certificates {
		c := &i.Certificate
		if c.Domain != domain || c.Authority != authority || !bytes.Equal(c.Serial, serial) {
			continue
		}
		switch c.Status {
		case registrar.Issued:
			return registrar.CertificateState{Issued: true}, nil
		case registrar.Revoked:
			return registrar.CertificateState{Issued: true, Revoked: true, At: c.RevokedAt, Reason: c.RevokeReason}, nil
		}
	}
	return registrar.CertificateState{}, nil
}

// CRLPartitions implements registrar.CRLs.
func (m *Memory) CRLPartitions(ctx context.Context, domain, authority string) ([]int, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	return append([]int{}, s.partitions[place{domain, authority}]...), nil
}
