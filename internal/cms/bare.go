package cms

import (
	"crypto"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// SignBytes prepares a signature over a message alone, for protocols that have no SignedData around it, such as CMP
// (RFC 4210, Section 5.1.3.3): it returns the signature algorithm in DER, and what signs. RSA keys sign with PKCS #1, or with PSS when
// asked for; the hash of ECDSA is that of the curve's strength. Errors: ErrRequest, ErrUnsupportedAlgorithm; sign has the key's.
func SignBytes(key crypto.Signer, pss bool) (algorithm []byte, sign func(message []byte) ([]byte, error), err error) {
	a, err := algorithmsOf(key.Public(), pss)
	if err != nil {
		return nil, nil, err
	}
	return a.identifier, func(message []byte) ([]byte, error) { return a.sign(key, message) }, nil
}

// VerifyBytes checks a signature over message alone by key: an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. The
// algorithm must name its hash. Errors: ErrSignature, ErrWeakAlgorithm, ErrUnsupportedAlgorithm, ErrSyntax.
func VerifyBytes(a AlgorithmIdentifier, key crypto.PublicKey, message, signature []byte) error {
	s, err := schemeOf(a)
	if err != nil {
		return err
	}
	if s.hash == 0 && s.kind != kindEd25519 {
		return fmt.Errorf("%w: signature algorithm %s names no hash", ErrUnsupportedAlgorithm, a.OID)
	}
	return s.verify(key, message, signature)
}

// ReadAlgorithm reads one AlgorithmIdentifier (RFC 5280, Section 4.1.1.2) from in; false when there is none.
func ReadAlgorithm(in *cryptobyte.String, a *AlgorithmIdentifier) bool { return readAlgorithm(in, a) }
