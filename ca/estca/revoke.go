package estca

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
)

// Revoke tells the server by fullcmc (RFC 5272, Section 6.11), at each label in
// turn until one takes it. EST itself has no way: without Config.FullCMC it is
// ca.ErrRejected. The server's answer is signed by an RA or CA below
// Server.Anchors.
func (c *CA) Revoke(ctx context.Context, r *ca.Revoked) error {
	if !c.config.FullCMC {
		return fmt.Errorf("%w: EST cannot revoke, and fullcmc is not switched on for this issuer; tell the CA's operator", ca.ErrRejected)
	}
	cert, err := x509.ParseCertificate(r.Raw)
	if err != nil {
		return fmt.Errorf("revoke at the EST server: %w", err)
	}
	request, err := c.revocation(cert, r.Reason)
	if err != nil {
		return err
	}
	for _, label := range slices.Sorted(maps.Keys(c.clients)) {
		if err = c.secrets.Error(c.revokeAt(ctx, label, request)); !errors.Is(err, ca.ErrRejected) {
			return err
		}
	}
	return err
}

// revocation is signed as we authenticate.
func (c *CA) revocation(cert *x509.Certificate, reason int) (*est.CMCRevocation, error) {
	own := c.config.Server.Certificate
	chain := make([]*x509.Certificate, len(own.Certificate))
	for i, der := range own.Certificate {
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("our certificate: %w", err)
		}
	}
	key, ok := own.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("our certificate's key does not sign")
	}
	return &est.CMCRevocation{
		RawIssuer: cert.RawIssuer, SerialNumber: cert.SerialNumber, Reason: reason, Key: key, Certificate: chain[0], Chain: chain[1:],
	}, nil
}

func (c *CA) revokeAt(ctx context.Context, label string, r *est.CMCRevocation) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	err := c.clients[label].RevokeCMC(ctx, r)
	var refused *est.CMCError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Status < 500, errors.Is(err, est.ErrNotOffered):
		return fmt.Errorf("%w: %w", ca.ErrRejected, err)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	err = c.failure(err, false)
	var open *ca.Later
	if errors.As(err, &open) {
		return open.Err // revocations are told again, and nothing stays open
	}
	return err
}
