package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256, by crypto.Hash
	_ "crypto/sha512" // SHA-384 and SHA-512, by crypto.Hash
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The sizes of RSA keys, in bits: RFC 7518, Section 3.5 has at least 2048; a
// larger one than 8192 costs more than a signature is worth.
const (
	minRSA = 2048
	maxRSA = 8192
)

// algorithm is one of RFC 7518, Section 3.1, or EdDSA (RFC 8037, Section 3.1).
type algorithm struct {
	hash  crypto.Hash    // 0 for EdDSA, which hashes by itself
	curve elliptic.Curve // nil unless ECDSA: each goes with one curve (RFC 7518, Section 3.4)
}

func lookup(name string) (algorithm, bool) {
	switch name {
	case "ES256":
		return algorithm{crypto.SHA256, elliptic.P256()}, true
	case "ES384":
		return algorithm{crypto.SHA384, elliptic.P384()}, true
	case "ES512":
		return algorithm{crypto.SHA512, elliptic.P521()}, true
	case "PS256":
		return algorithm{hash: crypto.SHA256}, true
	case "EdDSA":
		return algorithm{}, true
	default:
		return algorithm{}, false
	}
}

func known(name string) bool {
	_, ok := lookup(name)
	return ok
}

// AlgorithmFor returns the algorithm that signatures with that key have. Errors wrap ErrKey.
func AlgorithmFor(key crypto.PublicKey) (string, error) {
	for _, name := range []string{"ES256", "ES384", "ES512", "PS256", "EdDSA"} {
		if fits(name, key) == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: none for %T of this size or curve", ErrKey, key)
}

// fits tells whether a key goes with an algorithm.
func fits(name string, key crypto.PublicKey) error {
	a, _ := lookup(name)
	ok := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		ok = a.curve != nil && key.Curve == a.curve
	case *rsa.PublicKey:
		ok = name == "PS256" && minRSA <= key.N.BitLen() && key.N.BitLen() <= maxRSA
	case ed25519.PublicKey:
		ok = name == "EdDSA"
	}
	if !ok {
		return fmt.Errorf("%w: %s with %T", ErrKey, name, key)
	}
	return nil
}

// Verify checks the signature with a key, as the algorithm in the protected
// header says. Errors wrap ErrKey and ErrSignature.
func (s *Signature) Verify(key crypto.PublicKey) error {
	if err := fits(s.Algorithm, key); err != nil {
		return err
	}
	a, _ := lookup(s.Algorithm)
	ok := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		der, err := toDER(s.value, a.curve)
		ok = err == nil && ecdsa.VerifyASN1(key, digest(a.hash, s.signed), der)
	case *rsa.PublicKey:
		ok = rsa.VerifyPSS(key, a.hash, digest(a.hash, s.signed), s.value, pss(a.hash)) == nil
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, s.signed, s.value)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func digest(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// pss has the salt as long as the hash (RFC 7518, Section 3.5).
func pss(hash crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
}

// toDER turns the two numbers of a signature, each as long as the curve has it
// (RFC 7518, Section 3.4), into the ECDSA-Sig-Value that Go reads.
func toDER(raw []byte, curve elliptic.Curve) ([]byte, error) {
	size := (curve.Params().BitSize + 7) / 8
	if len(raw) != 2*size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrSignature, len(raw), 2*size)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:size]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[size:]))
	})
	return b.Bytes()
}

// fromDER is the reverse of toDER.
func fromDER(der []byte, curve elliptic.Curve) ([]byte, error) {
	size := (curve.Params().BitSize + 7) / 8
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	r, s := new(big.Int), new(big.Int)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) ||
		!input.Empty() || !inner.Empty() || r.Sign() < 0 || s.Sign() < 0 || r.BitLen() > 8*size || s.BitLen() > 8*size {
		return nil, fmt.Errorf("%w: the key returned no signature of its curve", ErrKey)
	}
	raw := make([]byte, 2*size)
	r.FillBytes(raw[:size])
	s.FillBytes(raw[size:])
	return raw, nil
}
