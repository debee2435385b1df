package profile_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// modulus is a number of so many bits without small factors.
func modulus(t testing.TB, bits int) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		t.Fatal(err)
	}
	return withoutSmallFactors(n.SetBit(n, bits-1, 1))
}

// withoutSmallFactors is the first odd number from n on that no prime below 752 divides.
func withoutSmallFactors(n *big.Int) *big.Int {
	primes := big.NewInt(1)
	for p := int64(3); p < 752; p += 2 {
		if big.NewInt(p).ProbablyPrime(0) {
			primes.Mul(primes, big.NewInt(p))
		}
	}
	one, divisor := big.NewInt(1), new(big.Int)
	for n.SetBit(n, 0, 1); divisor.GCD(nil, nil, n, primes).Cmp(one) != 0; {
		n.Add(n, big.NewInt(2))
	}
	return n
}

// flawedModulus has the mark of CVE-2017-15361: a multiple of the product of
// the first primes, plus a power of 65537 modulo that product. It has no other
// small factor.
func flawedModulus(t testing.TB, bits int) *big.Int {
	t.Helper()
	product, others := big.NewInt(1), big.NewInt(1)
	for n := int64(2); n < 752; n++ {
		switch prime := big.NewInt(n); {
		case !prime.ProbablyPrime(0):
		case n <= 167:
			product.Mul(product, prime)
		default:
			others.Mul(others, prime)
		}
	}
	k := new(big.Int).Lsh(big.NewInt(1), uint(bits-product.BitLen()))
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123456789), product)
	for n.Add(n, k.Mul(k, product)); new(big.Int).GCD(nil, nil, n, others).Cmp(big.NewInt(1)) != 0; {
		n.Add(n, product)
	}
	return n
}

func TestKeysAreTakenByKindSizeAndStrength(t *testing.T) {
	device := mustNew(t, profile.Device())
	d := profile.Device()
	d.Keys = []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p384", "p521"}}, {Type: "ed25519"}}
	d.ServerKeyGeneration = profile.ServerKeyGeneration{}
	other := mustNew(t, d)
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := modulus(t, 2048)
	flawed := flawedModulus(t, 2048)
	p256 := elliptic.P256().Params()
	one := &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.Gx, Y: p256.Gy}
	off := &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.Gx, Y: p256.Gx}
	for name, c := range map[string]struct {
		p    *profile.Profile
		key  crypto.PublicKey
		want error
	}{
		"P-256":                       {device, ecKey(t, elliptic.P256()).Public(), nil},
		"P-384 where it is not taken": {device, ecKey(t, elliptic.P384()).Public(), profile.ErrKeyType},
		"P-224":                       {device, ecKey(t, elliptic.P224()).Public(), profile.ErrKeyType},
		"P-384":                       {other, ecKey(t, elliptic.P384()).Public(), nil},
		"P-521":                       {other, ecKey(t, elliptic.P521()).Public(), nil},
		"P-256 where it is not taken": {other, ecKey(t, elliptic.P256()).Public(), profile.ErrKeyType},
		"Ed25519":                     {other, edKey, nil},
		"Ed25519, not taken":          {device, edKey, profile.ErrKeyType},
		"Ed25519, cut short":          {other, edKey[:31], profile.ErrKeyWeak},
		"RSA 2048":                    {device, &rsa.PublicKey{N: good, E: 65537}, nil},
		"RSA, not taken":              {other, &rsa.PublicKey{N: good, E: 65537}, profile.ErrKeyType},
		"RSA 1024":                    {device, &rsa.PublicKey{N: modulus(t, 1024), E: 65537}, profile.ErrKeySize},
		"RSA 2046":                    {device, &rsa.PublicKey{N: new(big.Int).Rsh(good, 2), E: 65537}, profile.ErrKeySize},
		"RSA 8192":                    {device, &rsa.PublicKey{N: new(big.Int).SetBit(good, 8191, 1), E: 65537}, profile.ErrKeySize},
		"RSA exponent 3":              {device, &rsa.PublicKey{N: good, E: 3}, profile.ErrKeyWeak},
		"RSA exponent 1":              {device, &rsa.PublicKey{N: good, E: 1}, profile.ErrKeyWeak},
		"RSA exponent 65538":          {device, &rsa.PublicKey{N: good, E: 65538}, profile.ErrKeyWeak},
		"RSA even":                    {device, &rsa.PublicKey{N: new(big.Int).SetBit(good, 0, 0), E: 65537}, profile.ErrKeyWeak},
		"RSA with the factor 751":     {device, &rsa.PublicKey{N: new(big.Int).Mul(modulus(t, 2040), big.NewInt(751)), E: 65537}, profile.ErrKeyWeak},
		"RSA without modulus":         {device, &rsa.PublicKey{E: 65537}, profile.ErrKeyWeak},
		"RSA of CVE-2017-15361":       {device, &rsa.PublicKey{N: flawed, E: 65537}, profile.ErrKeyWeak},
		"private key 1":               {device, one, profile.ErrKeyWeak},
		"a point off the curve":       {device, off, profile.ErrKeyWeak},
		"no curve":                    {device, &ecdsa.PublicKey{}, profile.ErrKeyType},
		"nothing":                     {device, nil, profile.ErrKeyType},
		"text":                        {device, "key", profile.ErrKeyType},
	} {
		err := c.p.CheckKey(c.key)
		if !errors.Is(err, c.want) || (err != nil && !errors.Is(err, ca.ErrRejected)) {
			t.Errorf("%s: CheckKey = %v, want %v", name, err, c.want)
		}
		if name == "RSA of CVE-2017-15361" && !strings.Contains(err.Error(), "ROCA") {
			t.Errorf("%s: CheckKey = %v, want the flaw named", name, err)
		}
	}
}

func TestPublicKeysAreWrittenAsTheStandardLibraryDoes(t *testing.T) {
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.PublicKey{
		ecKey(t, elliptic.P256()).Public(), ecKey(t, elliptic.P384()).Public(), ecKey(t, elliptic.P521()).Public(), edKey,
		&rsa.PublicKey{N: modulus(t, 2048), E: 65537}, &rsa.PublicKey{N: modulus(t, 2047), E: 3},
	} {
		want, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := profile.MarshalPublicKey(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("MarshalPublicKey(%T) = %x, %v, want %x", key, got, err, want)
		}
	}
	for _, key := range []crypto.PublicKey{nil, "key", &rsa.PublicKey{}, &ecdsa.PublicKey{}, ecKey(t, elliptic.P224()).Public()} {
		if _, err := profile.MarshalPublicKey(key); !errors.Is(err, profile.ErrKeyType) {
			t.Errorf("MarshalPublicKey(%T) = %v, want ErrKeyType", key, err)
		}
	}
}
