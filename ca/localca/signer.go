package localca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // registers SHA-256
	_ "crypto/sha512" // registers SHA-384 and SHA-512
	"fmt"
	"io"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// signer is a key with the name it signs under.
type signer struct {
	key        crypto.Signer
	rand       io.Reader
	verify     bool
	issuer     []byte    // DER of the Name
	keyID      []byte    // authority key identifier
	spki       []byte    // of key
	end        time.Time // of the issuer's validity
	partitions int       // of the revocation lists
	selfSigned bool      // subject and issuer are the same
}

// signTBS signs and puts the result together.
func (s *signer) signTBS(tbs []byte, algorithm profile.SignatureAlgorithm) ([]byte, error) {
	message := tbs
	if hash := algorithm.Hash(); hash != 0 {
		h := hash.New()
		h.Write(tbs)
		message = h.Sum(nil)
	}
	signature, err := s.key.Sign(s.rand, message, algorithm.Options())
	if err != nil {
		return nil, fmt.Errorf("%w: the CA's key did not sign: %w", ca.ErrUnavailable, err)
	}
	if s.verify && !s.verifies(message, signature, algorithm) {
		return nil, fmt.Errorf("%w: the CA's key gave a wrong signature, which was thrown away; check the token", ca.ErrUnavailable)
	}
	raw, err := profile.Assemble(tbs, algorithm, signature)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	return raw, nil
}

func (s *signer) verifies(message, signature []byte, algorithm profile.SignatureAlgorithm) bool {
	switch key := s.key.Public().(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, message, signature)
	case *rsa.PublicKey:
		if options, ok := algorithm.Options().(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(key, algorithm.Hash(), message, signature, options) == nil
		}
		return rsa.VerifyPKCS1v15(key, algorithm.Hash(), message, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	default:
		return false
	}
}
