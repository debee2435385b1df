package stepca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/briskest/briskest/ca"
)

// CRLReasons (RFC 5280, Section 5.3.1).
const (
	superseded      = 4
	certificateHold = 6
	removeFromCRL   = 8
)

type revokeRequest struct {
	Serial  string `json:"serial"`
	Token   string `json:"ott"`
	Reason  int    `json:"reasonCode"`
	Passive bool   `json:"passive"`
}

// Revoke tells step-ca, which from then on renews the certificate no more, and
// lists it in its CRL where it has one. It knows no hold.
func (c *CA) Revoke(ctx context.Context, r *ca.Revoked) error {
	if r.Reason == certificateHold || r.Reason == removeFromCRL {
		return fmt.Errorf("%w: step-ca knows no hold", ca.ErrRejected)
	}
	cert, err := x509.ParseCertificate(r.Raw)
	if err != nil {
		return fmt.Errorf("revoke at step-ca: %w", err)
	}
	return c.secret.Error(c.revoke(ctx, cert.SerialNumber, r.Reason))
}

func (c *CA) revoke(ctx context.Context, serial *big.Int, reason int) error {
	token, err := c.revokeToken(serial.String())
	if err != nil {
		return err
	}
	a, err := c.post(ctx, "/1.0/revoke", &revokeRequest{Serial: serial.String(), Token: token, Reason: reason, Passive: true})
	if err != nil {
		return err
	}
	switch {
	case a.Status == http.StatusOK:
		return nil
	// step-ca 0.30 has no code for this, only the sentence.
	case a.Status == http.StatusBadRequest && strings.Contains(sentence(a), "already revoked"):
		return nil
	case a.Status == http.StatusNotImplemented:
		return fmt.Errorf("%w: step-ca has no database to keep revocations in", ca.ErrRejected)
	}
	err = refusal(a)
	if errors.Is(err, errToken) {
		c.log.ErrorContext(ctx, "step-ca refuses the provisioner's token for a revocation")
	}
	return err
}
