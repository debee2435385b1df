package registrar

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// ListCertificates returns up to q.Limit certificates (1 to 10000, which is
// also what anything else means) in order of serial number. An empty q.Domain
// is the service's.
func (s *Service) ListCertificates(ctx context.Context, q *CertificateQuery) ([]*Certificate, error) {
	v, err := s.inDomain(q.Domain)
	if err != nil {
		return nil, err
	}
	own := *q
	own.Domain, own.Limit = v.Domain, listLimit(q.Limit)
	return s.store.ListCertificates(ctx, &own)
}

// RevokeRequest names a certificate by its serial number.
type RevokeRequest struct {
	Domain string
	Actor  string
	Serial []byte // big-endian, minimal
	Reason int    // CRLReason (RFC 5280, Section 5.3.1)
}

// Revoke revokes an issued certificate. From its return on the certificate
// authenticates nothing here; others learn of it by the next CRL. Revoking it
// again changes nothing and returns it as it is. One that never was issued is
// ErrConflict, an unknown one ErrNotFound. A request of the same device that is
// being decided is waited for.
func (s *Service) Revoke(ctx context.Context, r *RevokeRequest) (*Certificate, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	if !validReason(r.Reason) {
		return nil, invalid("reason %d is none of RFC 5280, Section 5.3.1", r.Reason)
	}
	unlock, err := s.lockHolder(ctx, v, r.Serial)
	if err != nil {
		return nil, fmt.Errorf("certificate %x: %w", r.Serial, err)
	}
	defer unlock()
	row, err := s.store.Certificate(ctx, v.Domain, r.Serial)
	switch {
	case err != nil:
		return nil, fmt.Errorf("certificate %x: %w", r.Serial, err)
	case row.Status == Revoked:
		return row, nil
	case row.Status != Issued:
		return nil, fmt.Errorf("certificate %x is %s: %w", r.Serial, row.Status, ErrConflict)
	}
	row.Status, row.RevokedAt, row.RevokeReason = Revoked, s.now().UTC(), r.Reason
	b := newBody().hex("serial", row.Serial).str("subject", row.Subject).num("crl_reason", r.Reason)
	change := &Change{Revoked: []*Certificate{row}, Trail: []*trail.Entry{s.act(v, r.Actor, KindCertificateRevoked, row.DeviceID, b)}}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("certificate %x: %w", r.Serial, err)
	}
	s.revokedAt.Store(row.RevokedAt.UnixNano())
	return row, nil
}

// lockHolder locks the device that a certificate was issued to.
func (s *Service) lockHolder(ctx context.Context, v *version, serial []byte) (func(), error) {
	row, err := s.store.Certificate(ctx, v.Domain, serial)
	if err != nil {
		return nil, err
	}
	device, err := s.store.Device(ctx, v.Domain, row.DeviceID)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", row.DeviceID, err)
	}
	return s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
}

// validReason tells whether a full CRL may carry the reason: 7 is unused, and
// removeFromCRL (8) is for delta CRLs (RFC 5280, Section 5.3.1).
func validReason(reason int) bool { return reason >= 0 && reason <= 10 && reason != 7 && reason != 8 }

// GenerateCRL signs a full CRL (RFC 5280, Section 5) of every revoked
// certificate that has not expired, puts it on record and returns it.
func (s *Service) GenerateCRL(ctx context.Context, domain, actor string) (*CRL, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	issuer, ok := v.issuer.(ca.CRLIssuer)
	if !ok {
		return nil, invalid("the CA behind this registrar signs its revocation lists itself")
	}
	s.crl.Lock() // numbers rise one by one
	defer s.crl.Unlock()
	list := &ca.RevocationList{Number: 1, ThisUpdate: s.now().UTC()}
	last, err := found(s.store.LatestCRL(ctx, v.Domain))
	if err != nil {
		return nil, err
	}
	if last != nil {
		list.Number = last.Number + 1
	}
	list.NextUpdate = list.ThisUpdate.Add(v.CRLLifetime)
	if list.Revoked, err = s.revoked(ctx, v, list); err != nil {
		return nil, err
	}
	raw, err := issuer.CRL(ctx, list)
	if err != nil {
		return nil, fmt.Errorf("sign the CRL: %w", err)
	}
	out := &CRL{Domain: v.Domain, Number: list.Number, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, Raw: raw}
	b := newBody().num("number", int(list.Number)).num("entries", len(list.Revoked)).time("next_update", list.NextUpdate)
	err = s.store.Commit(ctx, &Change{PutCRL: out, Trail: []*trail.Entry{s.act(v, actor, KindCRLSigned, "", b)}})
	if err != nil {
		return nil, fmt.Errorf("record the CRL: %w", err)
	}
	return out, nil
}

// LatestCRL returns the newest CRL on record, or ErrNotFound.
func (s *Service) LatestCRL(ctx context.Context, domain string) (*CRL, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	return s.store.LatestCRL(ctx, v.Domain)
}

// revoked reads every revoked certificate that is good for longer than the
// list's date.
func (s *Service) revoked(ctx context.Context, v *version, list *ca.RevocationList) ([]ca.Revocation, error) {
	var out []ca.Revocation
	q := &CertificateQuery{Domain: v.Domain, Status: Revoked, Limit: maxList}
	for {
		page, err := s.store.ListCertificates(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			if !c.NotAfter.Before(list.ThisUpdate) {
				out = append(out, ca.Revocation{Serial: c.Serial, At: c.RevokedAt, Reason: c.RevokeReason})
			}
		}
		if len(page) < q.Limit {
			return out, nil
		}
		q.After = page[len(page)-1].Serial
	}
}

// TrailEntries returns up to limit entries of the domain, from a sequence
// number on; device "" does not filter.
func (s *Service) TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	if from < 0 {
		return nil, errors.Join(ErrInvalid, errors.New("a sequence number is negative"))
	}
	return s.store.TrailEntries(ctx, v.Domain, device, from, listLimit(limit))
}
