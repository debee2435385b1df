package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// ListCertificates returns up to q.Limit certificates (1 to 10000, which is
// also what anything else means) in order of ID. An empty q.Domain
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

// CertificateRef names a certificate: by its ID, or by its serial number, which
// two CAs may have given, and then the name of its issuer or its authority.
type CertificateRef struct {
	ID        string
	Serial    []byte // big-endian, minimal
	Issuer    string
	Authority string
}

// RevokeRequest says which certificate to revoke, and why.
type RevokeRequest struct {
	Domain string
	Actor  string
	CertificateRef
	Reason int  // CRLReason (RFC 5280, Section 5.3.1)
	DryRun bool // only return the certificate as it is
}

// Revoke revokes an issued certificate, or puts it on hold (certificateHold),
// from which Release takes it back and another reason revokes it for good. From
// its return on the certificate authenticates nothing here; others learn of it
// by the next CRL, and a CA that answers for the certificate is told in the
// background. Revoking it again changes nothing and returns it as it is. One that
// never was issued is ErrConflict, and so is a serial number of several; an
// unknown one is ErrNotFound. A request of the same device that is being decided
// is waited for.
func (s *Service) Revoke(ctx context.Context, r *RevokeRequest) (*Certificate, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	if !validReason(r.Reason) {
		return nil, invalid("reason %d is none of RFC 5280, Section 5.3.1", r.Reason)
	}
	row, unlock, err := s.holdCertificate(ctx, v, &r.CertificateRef)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch {
	case row.Status == Revoked && (!row.OnHold() || r.Reason == ReasonHold):
		return row, nil
	case row.Status != Issued && !row.OnHold():
		return nil, fmt.Errorf("certificate %x is %s: %w", row.Serial, row.Status, ErrConflict)
	case r.DryRun:
		return row, nil
	}
	row.Status, row.RevokedAt, row.RevokeReason = Revoked, s.now().UTC(), r.Reason
	return row, s.commitRevocation(ctx, v, r.Actor, KindCertificateRevoked, &Change{Revoked: []*Certificate{row}})
}

// Release takes a certificate from hold: it authenticates again. One that is not
// on hold is ErrConflict; r.Reason does not count.
func (s *Service) Release(ctx context.Context, r *RevokeRequest) (*Certificate, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	row, unlock, err := s.holdCertificate(ctx, v, &r.CertificateRef)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !row.OnHold() {
		return nil, fmt.Errorf("certificate %x is %s and not on hold: %w", row.Serial, row.Status, ErrConflict)
	}
	if r.DryRun {
		return row, nil
	}
	row.Status, row.RevokedAt, row.RevokeReason = Issued, s.now().UTC(), ReasonRelease
	return row, s.commitRevocation(ctx, v, r.Actor, KindCertificateReleased, &Change{Released: []*Certificate{row}})
}

// commitRevocation puts what an operator did to one certificate on record.
func (s *Service) commitRevocation(ctx context.Context, v *version, actor, kind string, change *Change) error {
	v.tell(change)
	for _, row := range slices.Concat(change.Revoked, change.Released) {
		b := newBody().str("id", row.ID).hex("serial", row.Serial).str("issuer", row.Issuer).str("subject", row.Subject).num("crl_reason", row.RevokeReason)
		change.Trail = append(change.Trail, s.act(v, actor, kind, row.DeviceID, b))
		if err := s.store.Commit(ctx, change); err != nil {
			return fmt.Errorf("certificate %x: %w", row.Serial, err)
		}
		s.tellSoon(change)
	}
	return nil
}

// tell has the CAs that answer for what the change revokes or releases be told.
func (v *version) tell(change *Change) {
	for _, row := range slices.Concat(change.Revoked, change.Released) {
		i := v.issuers[row.Issuer]
		told := row.Elsewhere // an issuer that is not configured now may be so again
		if i != nil {
			_, told = i.Issuer.(ca.Revoker)
		}
		if told {
			change.PutUntold = append(change.PutUntold, &Untold{Domain: row.Domain, ID: row.ID, At: row.RevokedAt, Reason: row.RevokeReason})
		}
	}
}

// holdCertificate finds a certificate and locks the device that it was issued to.
func (s *Service) holdCertificate(ctx context.Context, v *version, ref *CertificateRef) (*Certificate, func(), error) {
	row, err := s.findCertificate(ctx, v, ref)
	if err != nil {
		return nil, nil, err
	}
	device, err := s.store.Device(ctx, v.Domain, row.DeviceID)
	if err != nil {
		return nil, nil, fmt.Errorf("device %s: %w", row.DeviceID, err)
	}
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return nil, nil, err
	}
	if row, err = s.store.Certificate(ctx, v.Domain, row.ID); err != nil {
		unlock()
		return nil, nil, fmt.Errorf("certificate %s: %w", ref.ID, err)
	}
	return row, unlock, nil
}

// findCertificate finds the one issuance that ref names. Certificates go before
// what has a serial number only.
func (s *Service) findCertificate(ctx context.Context, v *version, ref *CertificateRef) (*Certificate, error) {
	if ref.ID != "" {
		row, err := s.store.Certificate(ctx, v.Domain, ref.ID)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", ref.ID, err)
		}
		return row, nil
	}
	if len(ref.Serial) == 0 {
		return nil, invalid("no certificate is named")
	}
	rows, err := s.store.ListCertificates(ctx, &CertificateQuery{
		Domain: v.Domain, Serial: ref.Serial, Issuer: ref.Issuer, Authority: ref.Authority, Limit: maxHeld,
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(rows, (*Certificate).exists) {
		rows = slices.DeleteFunc(rows, func(row *Certificate) bool { return !row.exists() })
	}
	switch len(rows) {
	case 0:
		return nil, fmt.Errorf("certificate %x: %w", ref.Serial, ErrNotFound)
	case 1:
		return rows[0], nil
	default:
		return nil, fmt.Errorf("%d certificates have the serial number %x; name the issuer (%q, %q) or the authority (%s, %s): %w", len(rows),
			ref.Serial, rows[0].Issuer, rows[1].Issuer, rows[0].Authority, rows[1].Authority, ErrConflict)
	}
}

// exists tells whether there is a certificate, and no mere intent.
func (c *Certificate) exists() bool { return c.Raw != nil }

// validReason tells whether a full CRL may carry the reason: 7 is unused, and
// removeFromCRL (8) is for delta CRLs (RFC 5280, Section 5.3.1).
func validReason(reason int) bool {
	return reason >= 0 && reason <= 10 && reason != 7 && reason != ReasonRelease
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
