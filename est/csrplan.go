package est

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"
)

// CSRPlan says what a CSR is to hold. A server fills it in from its policy, and [CSRPlan.CSRAttrs] makes a CsrAttrs of
// it (RFC 7030, Section 4.5.2; RFC 9908, Section 3); a client gets it by [ParseCSRPlan], and [CreateCSR] follows it. The
// zero value wants nothing.
type CSRPlan struct {
	Key  *KeyPlan    // nil: any key
	Hash crypto.Hash // of the signature: SHA-256, SHA-384 or SHA-512; 0: what suits the key
	// Link asks for a challengePassword with the channel binding (RFC 7030, Section 3.5).
	Link bool
	// Subject is the whole subject, as in a template (RFC 9908, Section 3.4): relative names, each a set of attributes.
	// Those without a value are the client's to supply, others are not wanted. Nil: the client decides.
	Subject [][]SubjectAttribute
	// Extensions that the CSR asks for, each identifier once.
	Extensions []PlannedExtension
	// Wanted are further types of attributes: of the CSR, such as those of RFC 7894, or of its subject. Those that a
	// client does not know it skips (RFC 7030, Section 4.5.2).
	Wanted []asn1.ObjectIdentifier
	// Given are attributes of the CSR with their values, to be copied. [CSRPlan.CSRAttrs] refuses challengePassword here.
	Given []Attribute
}

// KeyPlan is a kind of key.
type KeyPlan struct {
	Algorithm x509.PublicKeyAlgorithm // RSA, ECDSA or Ed25519
	Curve     elliptic.Curve          // of ECDSA: P-256, P-384 or P-521; nil: any
	Bits      int                     // of RSA: length of the modulus; 0: any from 2048
}

// ErrCSRPlan is what a plan gives that cannot be followed or written: a kind of key that is not supported, an RSA modulus
// of fewer than 2048 or more than 8192 bits, two templates, a name that the caller does not supply, a key of another kind.
var ErrCSRPlan = errors.New("the server's wishes for the CSR cannot be met")

func planError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCSRPlan, fmt.Errorf(format, args...))
}

// Name returns the kind of key in the words of the command line and the keystore: p256, p384, p521, ed25519, or rsa with
// the length, such as rsa3072. Where the plan leaves it open, for nil too, that is p256, or rsa2048 for RSA.
func (k *KeyPlan) Name() string {
	switch {
	case k == nil:
	case k.Algorithm == x509.Ed25519:
		return "ed25519"
	case k.Algorithm == x509.RSA:
		return "rsa" + strconv.Itoa(max(k.Bits, 2048))
	case k.Curve == elliptic.P384():
		return "p384"
	case k.Curve == elliptic.P521():
		return "p521"
	}
	return "p256"
}

// Check says whether key is of the kind; nil takes every key. The error matches [ErrCSRPlan] and names both.
func (k *KeyPlan) Check(key crypto.PublicKey) error {
	if k == nil {
		return nil
	}
	is, err := KeyPlanOf(key)
	if err != nil {
		return err
	}
	if is.Algorithm != k.Algorithm || k.Curve != nil && k.Curve != is.Curve || k.Bits != 0 && k.Bits != is.Bits {
		return planError("it wants a key of type %s, and this one is %s", k.Name(), is.Name())
	}
	return nil
}

// KeyPlanOf returns the kind of a key, with its curve or length. The error matches [ErrCSRPlan].
func KeyPlanOf(key crypto.PublicKey) (*KeyPlan, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return &KeyPlan{Algorithm: x509.RSA, Bits: key.N.BitLen()}, nil
	case *ecdsa.PublicKey:
		return &KeyPlan{Algorithm: x509.ECDSA, Curve: key.Curve}, nil
	case ed25519.PublicKey:
		return &KeyPlan{Algorithm: x509.Ed25519}, nil
	}
	return nil, planError("a key of type %T", key)
}

// Generate makes a key of the kind: what is left open is P-256, or 2048 bits for RSA; nil is P-256. A long RSA key takes
// seconds. The error matches [ErrCSRPlan] for kinds that are not supported.
func (k *KeyPlan) Generate() (crypto.Signer, error) {
	if err := k.supported(); err != nil {
		return nil, err
	}
	switch {
	case k == nil:
	case k.Algorithm == x509.RSA:
		return rsa.GenerateKey(rand.Reader, max(k.Bits, 2048))
	case k.Algorithm == x509.Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case k.Curve != nil:
		return ecdsa.GenerateKey(k.Curve, rand.Reader)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// NaturalHash is the hash whose strength is that of the key: SHA-384 for P-384, SHA-512 for P-521, else SHA-256. It is 0
// where the plan leaves the curve open, for nil, and for Ed25519, which signs the whole message.
func (k *KeyPlan) NaturalHash() crypto.Hash {
	switch {
	case k == nil || k.Algorithm == x509.Ed25519 || k.Algorithm == x509.ECDSA && k.Curve == nil:
		return 0
	case k.Curve == elliptic.P384():
		return crypto.SHA384
	case k.Curve == elliptic.P521():
		return crypto.SHA512
	}
	return crypto.SHA256
}

// supported refuses kinds of keys that nobody should make, whoever asks for them.
func (k *KeyPlan) supported() error {
	switch {
	case k == nil:
		return nil
	case k.Algorithm == x509.RSA && k.Curve == nil && (k.Bits == 0 || k.Bits >= 2048 && k.Bits <= maxRSABits):
		return nil
	case k.Algorithm == x509.ECDSA && k.Bits == 0:
		if _, ok := curveName(k.Curve); ok || k.Curve == nil {
			return nil
		}
	case k.Algorithm == x509.Ed25519 && k.Curve == nil && k.Bits == 0:
		return nil
	}
	return planError("it wants an %s key that is not supported; there are RSA from 2048 to %d bits, P-256, P-384, P-521 and Ed25519",
		k.Algorithm, maxRSABits)
}

// Identifiers of keys, curves and signature algorithms (RFC 5480, Section 2; RFC 8410, Section 3).
const (
	nameECPublicKey = "1.2.840.10045.2.1"
	nameEd25519     = "1.3.101.112"
	nameP256        = "1.2.840.10045.3.1.7"
	nameP384        = "1.3.132.0.34"
	nameP521        = "1.3.132.0.35"
)

func curveName(curve elliptic.Curve) (string, bool) {
	switch curve {
	case elliptic.P256():
		return nameP256, true
	case elliptic.P384():
		return nameP384, true
	case elliptic.P521():
		return nameP521, true
	}
	return "", false
}

func curveByName(name string) elliptic.Curve {
	switch name {
	case nameP256:
		return elliptic.P256()
	case nameP384:
		return elliptic.P384()
	case nameP521:
		return elliptic.P521()
	}
	return nil
}

// signatureAlgorithm is what an identifier of a signature, or of a hash alone, says.
type signatureAlgorithm struct {
	hash crypto.Hash
	key  x509.PublicKeyAlgorithm // zero for a hash alone
}

// signatureAlgorithms knows those that may be asked for (RFC 5758, Section 3.2; RFC 8017, Appendix A.2.4;
// RFC 5754, Section 2). What has SHA-1 or MD5 is not among them, whatever a server lists.
func signatureAlgorithms() map[string]signatureAlgorithm {
	return map[string]signatureAlgorithm{
		"1.2.840.10045.4.3.2":    {crypto.SHA256, x509.ECDSA},
		"1.2.840.10045.4.3.3":    {crypto.SHA384, x509.ECDSA},
		"1.2.840.10045.4.3.4":    {crypto.SHA512, x509.ECDSA},
		"1.2.840.113549.1.1.11":  {crypto.SHA256, x509.RSA},
		"1.2.840.113549.1.1.12":  {crypto.SHA384, x509.RSA},
		"1.2.840.113549.1.1.13":  {crypto.SHA512, x509.RSA},
		"2.16.840.1.101.3.4.2.1": {hash: crypto.SHA256},
		"2.16.840.1.101.3.4.2.2": {hash: crypto.SHA384},
		"2.16.840.1.101.3.4.2.3": {hash: crypto.SHA512},
	}
}
