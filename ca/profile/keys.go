package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// keyKind is the type of a subject key.
type keyKind int

const (
	kindRSA keyKind = iota
	kindECDSA
	kindEd25519
	keyKinds
)

// keyRule is a checked KeyRule.
type keyRule struct {
	kind             keyKind
	minBits, maxBits int
	curves           []elliptic.Curve
	usage            keyUsage // of the certificate, the profile's included
}

// CheckKey says whether the profile takes a subject key: its kind, curve and
// size, an RSA exponent of at least 65537, no modulus with small factors, with
// two factors close to each other or the mark of CVE-2017-15361, no point of
// which the private key is known, and none of the keys blocked by
// [Profile.WithBlockedKeys]. The error wraps one of the ErrKey errors and
// [ca.ErrRejected].
func (p *Profile) CheckKey(pub crypto.PublicKey) error {
	if err := p.checkKind(pub); err != nil || p.blocked == nil {
		return err
	}
	return p.blocked.check(pub)
}

func (p *Profile) checkKind(pub crypto.PublicKey) error {
	rule := p.kindRule(pub)
	switch key := pub.(type) {
	case *rsa.PublicKey:
		if rule != nil {
			return rule.checkRSA(key)
		}
		return rejected(ErrKeyType, "RSA")
	case *ecdsa.PublicKey:
		if rule != nil {
			return rule.checkECDSA(key)
		}
		return rejected(ErrKeyType, "ECDSA")
	case ed25519.PublicKey:
		if rule == nil {
			return rejected(ErrKeyType, "Ed25519")
		}
		return checkEd25519(key)
	default:
		return rejected(ErrKeyType, "%T; there are RSA, ECDSA and Ed25519 keys", pub)
	}
}

// kindRule finds the rule for the key's kind without judging the key.
func (p *Profile) kindRule(pub crypto.PublicKey) *keyRule {
	switch pub.(type) {
	case *rsa.PublicKey:
		return p.keyRuleOf(kindRSA)
	case *ecdsa.PublicKey:
		return p.keyRuleOf(kindECDSA)
	case ed25519.PublicKey:
		return p.keyRuleOf(kindEd25519)
	default:
		return nil
	}
}

func (p *Profile) keyRuleOf(kind keyKind) *keyRule {
	for i := range p.keys {
		if p.keys[i].kind == kind {
			return &p.keys[i]
		}
	}
	return nil
}

func (r *keyRule) checkECDSA(key *ecdsa.PublicKey) error {
	for _, curve := range r.curves {
		if key.Curve == curve {
			return checkPoint(key)
		}
	}
	name := "an unknown curve"
	if key.Curve != nil && key.Curve.Params() != nil {
		name = key.Curve.Params().Name
	}
	return rejected(ErrKeyType, "ECDSA on %s", name)
}

// checkPoint refuses points off the curve, the one at infinity, and those of
// the private keys 1 and -1.
func checkPoint(key *ecdsa.PublicKey) error {
	if key.X == nil || key.Y == nil {
		return rejected(ErrKeyWeak, "there is no point")
	}
	point, err := key.Bytes()
	if err != nil {
		return rejected(ErrKeyWeak, "the point is not on the curve")
	}
	x := point[1 : 1+len(point)/2]
	if key.Curve.Params().Gx.Cmp(new(big.Int).SetBytes(x)) == 0 {
		return rejected(ErrKeyWeak, "the private key is 1 or -1")
	}
	return nil
}

func (r *keyRule) checkRSA(key *rsa.PublicKey) error {
	if key.N == nil || key.N.Sign() <= 0 {
		return rejected(ErrKeyWeak, "an RSA key without a modulus")
	}
	if bits := key.N.BitLen(); bits < r.minBits || bits > r.maxBits {
		return rejected(ErrKeySize, "RSA with %d bits; %d to %d are taken", bits, r.minBits, r.maxBits)
	}
	// Small and even exponents (NIST FIPS 186-5, Section 5.4).
	if key.E < 65537 || key.E%2 == 0 {
		return rejected(ErrKeyWeak, "RSA exponent %d; it must be odd and at least 65537", key.E)
	}
	if hasSmallFactor(key.N) {
		return rejected(ErrKeyWeak, "the RSA modulus has a small factor")
	}
	if hasCloseFactors(key.N) {
		return rejected(ErrKeyWeak, "the factors of the RSA modulus are too close to each other; the device's key generator is broken")
	}
	if isROCA(key.N) {
		return rejected(ErrKeyWeak, "the RSA key was made by a library with a known flaw (CVE-2017-15361, ROCA); have the device make another kind of key")
	}
	return nil
}

// MarshalPublicKey returns the SubjectPublicKeyInfo (RFC 5280, Section
// 4.1.2.7) of an RSA (RFC 3279, Section 2.3.1), ECDSA on P-256, P-384 or P-521
// (RFC 5480, Section 2) or Ed25519 key (RFC 8410, Section 4). The error wraps
// [ErrKeyType].
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 320))
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil, rejected(ErrKeyType, "ECDSA: %v", err)
		}
		curve, ok := curveOID(key.Curve)
		if !ok {
			return nil, rejected(ErrKeyType, "ECDSA on an unknown curve")
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(curve) })
			b.AddASN1BitString(point)
		})
	case *rsa.PublicKey:
		if key.N == nil || key.N.Sign() <= 0 || key.E <= 0 {
			return nil, rejected(ErrKeyType, "RSA without modulus or exponent")
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes([]byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0}) // rsaEncryption, NULL
			})
			b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(0)
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1BigInt(key.N)
					b.AddASN1Int64(int64(key.E))
				})
			})
		})
	case ed25519.PublicKey:
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes([]byte{6, 3, 0x2b, 0x65, 0x70}) })
			b.AddASN1BitString(key)
		})
	default:
		return nil, rejected(ErrKeyType, "%T", pub)
	}
	return b.Bytes()
}

// curveOID returns id-ecPublicKey and the curve, as in the algorithm of a
// SubjectPublicKeyInfo (RFC 5480, Section 2.1.1.1).
func curveOID(curve elliptic.Curve) ([]byte, bool) {
	id := []byte{6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1}
	switch curve {
	case elliptic.P256():
		return append(id, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7), true
	case elliptic.P384():
		return append(id, 6, 5, 0x2b, 0x81, 0x04, 0, 34), true
	case elliptic.P521():
		return append(id, 6, 5, 0x2b, 0x81, 0x04, 0, 35), true
	default:
		return nil, false
	}
}
