package cmp

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/cms"
)

// Protection makes the protection of a message that is to be sent: a Signature or a MAC.
type Protection interface {
	// begin returns protectionAlg in DER and what computes the protection of a ProtectedPart.
	begin() (algorithm []byte, protect func(part []byte) ([]byte, error), err error)
}

// Signature protects by signature (RFC 4210, Section 5.1.3.3; RFC 9481, Section 3): ECDSA with the hash of the curve's
// strength, RSA with SHA-256, or Ed25519.
type Signature struct {
	Key crypto.Signer
	PSS bool // RSA signs by PSS, not by PKCS #1
}

func (s *Signature) begin() ([]byte, func([]byte) ([]byte, error), error) {
	return cms.SignBytes(s.Key, s.PSS)
}

// VerifySignature checks that the holder of the key signed this message. It does not say whose key that is.
// Errors: ErrUnprotected, ErrProtection, ErrWeakAlgorithm, ErrUnsupportedAlgorithm.
func (m *Message) VerifySignature(key crypto.PublicKey) error {
	if m.protection == nil {
		return ErrUnprotected
	}
	switch err := cms.VerifyBytes(m.Header.Algorithm, key, m.protected, m.protection); {
	case err == nil:
		return nil
	case errors.Is(err, cms.ErrWeakAlgorithm):
		return fmt.Errorf("%w: %w", ErrWeakAlgorithm, err)
	case errors.Is(err, cms.ErrUnsupportedAlgorithm):
		return fmt.Errorf("%w: %w", ErrUnsupportedAlgorithm, err)
	default:
		return fmt.Errorf("%w: %w", ErrProtection, err)
	}
}
