package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// SignatureAlgorithm is what a CA signs with. The zero value leaves it to the
// CA's key.
type SignatureAlgorithm string

// The signature algorithms: RFC 5758, Section 3.2; RFC 8017, Appendix A.2.4 and
// A.2.3; RFC 8410, Section 3.
const (
	ECDSAWithSHA256  SignatureAlgorithm = "ecdsa_sha256"
	ECDSAWithSHA384  SignatureAlgorithm = "ecdsa_sha384"
	ECDSAWithSHA512  SignatureAlgorithm = "ecdsa_sha512"
	RSAWithSHA256    SignatureAlgorithm = "rsa_sha256"
	RSAWithSHA384    SignatureAlgorithm = "rsa_sha384"
	RSAWithSHA512    SignatureAlgorithm = "rsa_sha512"
	RSAPSSWithSHA256 SignatureAlgorithm = "rsa_pss_sha256"
	RSAPSSWithSHA384 SignatureAlgorithm = "rsa_pss_sha384"
	RSAPSSWithSHA512 SignatureAlgorithm = "rsa_pss_sha512"
	PureEd25519      SignatureAlgorithm = "ed25519"
)

// SignatureAlgorithm returns the algorithm the profile demands; empty for none.
func (p *Profile) SignatureAlgorithm() SignatureAlgorithm { return p.sigAlg }

// known says whether the word is one of the algorithms.
func (a SignatureAlgorithm) known() bool { return a.kind() < keyKinds }

// kind is the type of key that signs so; keyKinds for an unknown word.
func (a SignatureAlgorithm) kind() keyKind {
	switch a {
	case ECDSAWithSHA256, ECDSAWithSHA384, ECDSAWithSHA512:
		return kindECDSA
	case RSAWithSHA256, RSAWithSHA384, RSAWithSHA512, RSAPSSWithSHA256, RSAPSSWithSHA384, RSAPSSWithSHA512:
		return kindRSA
	case PureEd25519:
		return kindEd25519
	default:
		return keyKinds
	}
}

// Hash returns the hash that is signed; 0 for Ed25519, which signs the message.
func (a SignatureAlgorithm) Hash() crypto.Hash {
	switch a {
	case ECDSAWithSHA256, RSAWithSHA256, RSAPSSWithSHA256:
		return crypto.SHA256
	case ECDSAWithSHA384, RSAWithSHA384, RSAPSSWithSHA384:
		return crypto.SHA384
	case ECDSAWithSHA512, RSAWithSHA512, RSAPSSWithSHA512:
		return crypto.SHA512
	default:
		return 0
	}
}

// Options returns what a crypto.Signer is told: the hash, and for PSS a salt
// as long as the hash.
func (a SignatureAlgorithm) Options() crypto.SignerOpts {
	switch a {
	case RSAPSSWithSHA256, RSAPSSWithSHA384, RSAPSSWithSHA512:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash()}
	default:
		return a.Hash()
	}
}

// For returns the algorithm for a CA's key: a itself when the key can sign so,
// and for the empty one the hash that suits the key's strength.
func (a SignatureAlgorithm) For(pub crypto.PublicKey) (SignatureAlgorithm, error) {
	var kind keyKind
	var natural SignatureAlgorithm
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		kind, natural = kindECDSA, ECDSAWithSHA256
		switch key.Curve {
		case elliptic.P384():
			natural = ECDSAWithSHA384
		case elliptic.P521():
			natural = ECDSAWithSHA512
		}
	case *rsa.PublicKey:
		kind, natural = kindRSA, RSAWithSHA256
	case ed25519.PublicKey:
		kind, natural = kindEd25519, PureEd25519
	default:
		return "", fmt.Errorf("profile: no signature algorithm for a key of type %T", pub)
	}
	if a == "" {
		return natural, nil
	}
	if a.kind() != kind {
		return "", fmt.Errorf("profile: signature_algorithm %s does not go with the CA's key; leave it out or use %s", string(a), string(natural))
	}
	return a, nil
}

// Identifier returns the DER of the AlgorithmIdentifier.
func (a SignatureAlgorithm) Identifier() []byte {
	ecdsaWith := func(last byte) []byte {
		return []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last}
	}
	rsaWith := func(last byte) []byte {
		return []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last, 5, 0}
	}
	switch a {
	case ECDSAWithSHA256:
		return ecdsaWith(2)
	case ECDSAWithSHA384:
		return ecdsaWith(3)
	case ECDSAWithSHA512:
		return ecdsaWith(4)
	case RSAWithSHA256:
		return rsaWith(11)
	case RSAWithSHA384:
		return rsaWith(12)
	case RSAWithSHA512:
		return rsaWith(13)
	case RSAPSSWithSHA256:
		return pssIdentifier(1, 32)
	case RSAPSSWithSHA384:
		return pssIdentifier(2, 48)
	case RSAPSSWithSHA512:
		return pssIdentifier(3, 64)
	case PureEd25519:
		return []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70}
	default:
		panic("profile: internal error: no identifier for " + string(a))
	}
}

// pssIdentifier is id-RSASSA-PSS with SHA-2 (last arc), MGF1 over the same and
// a salt of so many bytes (RFC 4055, Section 3.1).
func pssIdentifier(last, salt byte) []byte {
	hash := []byte{0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0}
	out := []byte{0x30, 65, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 52, 0xa0, 15}
	out = append(out, hash...)
	out = append(out, 0xa1, 28, 0x30, 26, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8)
	out = append(out, hash...)
	return append(out, 0xa2, 3, 2, 1, salt)
}
