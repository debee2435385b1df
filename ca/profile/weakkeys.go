package profile

import (
	"crypto/ed25519"
	"math/big"
)

// hasSmallFactor says whether one of the primes below 752 divides n.
func hasSmallFactor(n *big.Int) bool {
	if n.Bit(0) == 0 {
		return true
	}
	var product, rest big.Int
	for p := uint64(3); p < 752; {
		word := uint64(1)
		for ; p < 752 && word < 1<<54; p += 2 {
			if isSmallPrime(p) {
				word *= p
			}
		}
		product.SetUint64(word)
		if gcd(rest.Mod(n, &product).Uint64(), word) != 1 {
			return true
		}
	}
	return false
}

func isSmallPrime(n uint64) bool {
	for d := uint64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// isROCA looks for the mark of the flawed generator: its primes, and so their
// products, are powers of 65537 modulo each small prime. By chance that is so
// for one modulus in 2^27 or less.
func isROCA(n *big.Int) bool {
	var m, rest big.Int
	for _, prime := range [...]int64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		r := rest.Mod(n, m.SetInt64(prime)).Int64()
		power, member := int64(1), false
		for range prime {
			if member = power == r; member {
				break
			}
			power = power * 65537 % prime
		}
		if !member {
			return false
		}
	}
	return true
}

// fermatRounds is how far hasCloseFactors looks. Factors that were chosen at random
// are never found so; those of CVE-2022-26320 are found in the first rounds.
const fermatRounds = 100

// hasCloseFactors looks for two factors by Fermat's method: n is a*a - b*b for an a
// near its root when they are close to each other.
func hasCloseFactors(n *big.Int) bool {
	var a, rest, root big.Int
	a.Sqrt(n)
	if rest.Mul(&a, &a).Cmp(n) == 0 {
		return true
	}
	a.Add(&a, big.NewInt(1))
	rest.Sub(rest.Mul(&a, &a), n)
	for range fermatRounds {
		if maySquare(&rest) && root.Mul(root.Sqrt(&rest), &root).Cmp(&rest) == 0 {
			return true
		}
		// From a to a+1 the square grows by 2a+1.
		rest.Add(&rest, root.Lsh(&a, 1))
		rest.Add(&rest, root.SetInt64(1))
		a.Add(&a, &root)
	}
	return false
}

// maySquare says no to all but one in a hundred numbers that are no squares, by what
// squares leave modulo 64, 63, 55 and 13.
func maySquare(n *big.Int) bool {
	const of64, of63, of55, of13 = uint64(0x202021202030213), uint64(0x402483012450293), uint64(0x230148611ca33), uint64(0x161b) // bit i: some square leaves i
	words := n.Bits()
	if len(words) == 0 || of64>>(uint(words[0])%64)&1 == 0 {
		return len(words) == 0
	}
	var rest big.Int
	m := rest.Mod(n, big.NewInt(63*55*13)).Uint64()
	return of63>>(m%63)&1 == 1 && of55>>(m%55)&1 == 1 && of13>>(m%13)&1 == 1
}

// checkEd25519 refuses what is no point of the curve in its only encoding
// (RFC 8032, Section 5.1.3), and the points of small order, for which anybody can sign.
func checkEd25519(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return rejected(ErrKeyWeak, "an Ed25519 key of %d bytes", len(key))
	}
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	var encoded [ed25519.PublicKeySize]byte // big-endian, without the sign of x
	for i, b := range key {
		encoded[len(encoded)-1-i] = b
	}
	encoded[0] &= 0x7f
	y := new(big.Int).SetBytes(encoded[:])
	if y.Cmp(prime) >= 0 {
		return rejected(ErrKeyWeak, "the Ed25519 key is not in its canonical form")
	}
	for _, small := range smallOrder(prime) {
		if y.Cmp(small) == 0 {
			return rejected(ErrKeyWeak, "the Ed25519 key is a point of small order, for which anybody can sign")
		}
	}
	// x*x = (y*y-1) / (d*y*y+1); a fraction is a square when the product is one.
	square := new(big.Int).Mul(y, y)
	product := new(big.Int).Mul(edwardsD(prime), square)
	product.Add(product, big.NewInt(1))
	product.Mul(product, square.Sub(square, big.NewInt(1)))
	if big.Jacobi(product.Mod(product, prime), prime) < 0 {
		return rejected(ErrKeyWeak, "the Ed25519 key is no point of the curve")
	}
	return nil
}

// edwardsD is the curve's constant, -121665/121666.
func edwardsD(prime *big.Int) *big.Int {
	d := new(big.Int).ModInverse(big.NewInt(121666), prime)
	d.Mul(d, big.NewInt(-121665))
	return d.Mod(d, prime)
}

// smallOrder lists the y of the eight points whose order divides 8: 1 and -1 of the
// orders 1 and 2, 0 of order 4, and two of order 8.
func smallOrder(prime *big.Int) []*big.Int {
	eighth := new(big.Int).SetBytes([]byte{
		0x05, 0xfc, 0x53, 0x6d, 0x88, 0x02, 0x38, 0xb1, 0x39, 0x33, 0xc6, 0xd3, 0x05, 0xac, 0xdf, 0xd5,
		0xf0, 0x98, 0xef, 0xf2, 0x89, 0xf4, 0xc3, 0x45, 0xb0, 0x27, 0xb2, 0xc2, 0x8f, 0x95, 0xe8, 0x26,
	})
	return []*big.Int{
		new(big.Int), big.NewInt(1), new(big.Int).Sub(prime, big.NewInt(1)), eighth, new(big.Int).Sub(prime, eighth),
	}
}
