package est

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strconv"
	"strings"
)

// KeyType is a kind of key: "p256", "p384", "p521", "ed25519", or "rsa" with the number of bits, such as "rsa3072".
type KeyType string

// The kinds of keys that [KeyType.New] makes.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	P521    KeyType = "p521"
	Ed25519 KeyType = "ed25519"
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
	RSA4096 KeyType = "rsa4096"
)

// KeyTypeOf returns the kind of a private or public key; empty for an unknown one.
func KeyTypeOf(key any) KeyType {
	if private, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		key = private.Public()
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return P256
		case elliptic.P384():
			return P384
		case elliptic.P521():
			return P521
		}
	case *rsa.PublicKey:
		return KeyType("rsa" + strconv.Itoa(k.N.BitLen()))
	case ed25519.PublicKey:
		return Ed25519
	}
	return ""
}

// New makes a key from the system's random source ([crypto/rand]). RSA keys take up to a second and more of CPU time;
// the caller bounds how many are made at once. The error is for kinds that are none of this package's constants.
func (t KeyType) New() (crypto.Signer, error) {
	switch t {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048, RSA3072, RSA4096:
		return rsa.GenerateKey(rand.Reader, t.rsaBits())
	}
	return nil, fmt.Errorf("no keys of type %.20q are made", string(t))
}

// Strength is the security strength in bits, as NIST SP 800-57 Part 1, Section 5.6.1, rates it; 0 for an unknown kind.
func (t KeyType) Strength() int {
	switch t {
	case P256, Ed25519:
		return 128
	case P384:
		return 192
	case P521:
		return 256
	}
	switch bits := t.rsaBits(); {
	case bits >= 15360:
		return 256
	case bits >= 7680:
		return 192
	case bits >= 3072:
		return 128
	case bits >= 2048:
		return 112
	default:
		return 0
	}
}

func (t KeyType) rsaBits() int {
	digits, ok := strings.CutPrefix(string(t), "rsa")
	if !ok {
		return 0
	}
	bits, err := strconv.Atoi(digits)
	if err != nil || bits < 0 {
		return 0
	}
	return bits
}
