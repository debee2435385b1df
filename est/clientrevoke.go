package est

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/briskest/briskest/internal/cmc"
)

// CMCRevocation is what [Client.RevokeCMC] asks for, and who says so.
type CMCRevocation struct {
	// RawIssuer and SerialNumber name the certificate: its issuer's Name in DER.
	RawIssuer    []byte
	SerialNumber *big.Int
	// Reason is a CRLReason (RFC 5280, Section 5.3.1).
	Reason int
	// Key signs the request; Certificate is its, of an RA or the one to be revoked.
	Key         crypto.Signer
	Certificate *x509.Certificate
	// Chain are the CAs above Certificate, where the server may not have them.
	Chain []*x509.Certificate
}

// RevokeCMC asks by a Full PKI Request to revoke a certificate (RFC 5272, Section 6.11; RFC 7030, Section 4.3). It is
// done when the answer says so, which is signed and repeats the request as with [Client.EnrollCMC].
//
// Errors: as [Client.EnrollCMC].
func (c *Client) RevokeCMC(ctx context.Context, r *CMCRevocation) error {
	if r.Key == nil || r.Certificate == nil || r.SerialNumber == nil || len(r.RawIssuer) == 0 {
		return errors.New("a revocation needs a key, its certificate, and the certificate to revoke")
	}
	s := &cmcExchange{c: c, e: &CMCEnrollment{}, key: r.Key.Public(), transaction: new(big.Int).SetBytes(random(16)), nonce: random(16)}
	data := &cmc.PKIData{}
	for i, value := range []cmc.ControlValue{
		&cmc.TransactionID{Number: s.transaction}, cmc.SenderNonce(s.nonce),
		&cmc.RevokeRequest{RawIssuer: r.RawIssuer, SerialNumber: r.SerialNumber, Reason: r.Reason},
	} {
		data.Controls = append(data.Controls, cmc.Control{ID: cmc.BodyPartID(101 + i), Value: value})
	}
	message, err := cmc.SignRequest(data, &cmc.Signing{Key: r.Key, Certificate: r.Certificate, Chain: r.Chain})
	if err != nil {
		return fmt.Errorf("%s: %w", OpFullCMC, err)
	}
	reply, err := c.FullCMC(ctx, message)
	if err != nil {
		return err
	}
	if reply.Simple {
		return fmt.Errorf("%s: %w: certificates do not say that one was revoked", OpFullCMC, ErrAnswer)
	}
	_, err = s.judge(reply)
	return err
}
