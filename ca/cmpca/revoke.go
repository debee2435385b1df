package cmpca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cmp"
)

// removeFromCRL releases a hold (RFC 9483, Section 4.2; RFC 5280, Section 5.3.1).
const removeFromCRL = 8

// Revoke implements ca.Revoker by an rr (RFC 9483, Section 4.2). A CA that has to think
// about it is ca.ErrUnavailable: it is told again.
func (c *CA) Revoke(ctx context.Context, r *ca.Revoked) error {
	return c.secrets.Error(c.revoke(ctx, r))
}

func (c *CA) revoke(ctx context.Context, r *ca.Revoked) error {
	cert, err := x509.ParseCertificate(r.Raw)
	if err != nil {
		return fmt.Errorf("%w: it is no certificate: %w", ca.ErrRejected, err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	body := cmp.NewRevReq(&cmp.Revocation{Issuer: cert.RawIssuer, Serial: cert.SerialNumber, Reason: r.Reason})
	m, err := c.exchange(ctx, &question{transactionID: id, body: body})
	var no *refusal
	if errors.As(err, &no) {
		return c.notRevoked(no, r.Reason)
	}
	if err != nil {
		return unqueued(err)
	}
	if m.Kind != cmp.RP {
		return fmt.Errorf("%w: a message %s for an rr", ca.ErrMismatch, m.Kind)
	}
	statuses, err := m.RevRep()
	if err != nil {
		return fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	if len(statuses) != 1 {
		return fmt.Errorf("%w: one revocation and %d answers", ca.ErrMismatch, len(statuses))
	}
	switch statuses[0].Status {
	case cmp.Accepted, cmp.GrantedWithMods, cmp.RevocationWarning, cmp.RevocationNotification:
		return nil
	default:
		return c.notRevoked(c.newRefusal(statuses[0]), r.Reason)
	}
}

// notRevoked maps a refusal. Telling a CA of what it knows is no error.
func (c *CA) notRevoked(no *refusal, reason int) error {
	switch {
	case no.info.Failure&cmp.CertRevoked != 0 && reason != removeFromCRL:
		return nil
	case no.info.Status == cmp.Waiting:
		return fmt.Errorf("%w: %w", ca.ErrUnavailable, no)
	}
	return c.judge(no)
}

// unqueued takes an error out of its ca.Later: a revocation has no state, and is told again.
func unqueued(err error) error {
	var later *ca.Later
	if errors.As(err, &later) {
		return later.Err
	}
	return err
}
