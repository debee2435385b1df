package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// planECDSA has the token sign the leftmost bits of the digest (FIPS 186-5,
// Section 6.4.1), and makes of r and s side by side what RFC 3279, Section
// 2.2.3, wants.
func planECDSA(public *ecdsa.PublicKey, digest []byte) *planned {
	size := (public.Curve.Params().N.BitLen() + 7) / 8
	return &planned{
		mechanism: Mechanism{Kind: ECDSA}, input: digest[:min(len(digest), size)],
		verified: func(raw []byte) ([]byte, bool) {
			if len(raw) == 0 || len(raw)%2 != 0 || len(raw) > 2*size {
				return nil, false
			}
			half := len(raw) / 2
			var b cryptobyte.Builder
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1BigInt(new(big.Int).SetBytes(raw[:half]))
				b.AddASN1BigInt(new(big.Int).SetBytes(raw[half:]))
			})
			der, err := b.Bytes()
			return der, err == nil && ecdsa.VerifyASN1(public, digest, der)
		},
	}
}

// planPSS signs with RSASSA-PSS (RFC 8017, Section 8.1), MGF1 over the same hash.
func planPSS(public *rsa.PublicKey, digest []byte, hash crypto.Hash, opts *rsa.PSSOptions) (*planned, error) {
	salt := opts.SaltLength
	switch salt {
	case rsa.PSSSaltLengthEqualsHash:
		salt = hash.Size()
	case rsa.PSSSaltLengthAuto: // as long as fits, as crypto/rsa has it
		salt = (public.N.BitLen()-1+7)/8 - 2 - hash.Size()
	}
	if salt <= 0 {
		return nil, errors.New("pkcs11: no PSS signature without a salt")
	}
	return &planned{
		mechanism: Mechanism{Kind: RSAPSS, Hash: hash, Salt: salt}, input: digest,
		verified: func(raw []byte) ([]byte, bool) {
			return raw, rsa.VerifyPSS(public, hash, digest, raw, &rsa.PSSOptions{SaltLength: salt}) == nil
		},
	}, nil
}

// planPKCS1 signs with RSASSA-PKCS1-v1_5 (RFC 8017, Section 8.2). The token pads
// the DigestInfo.
func planPKCS1(public *rsa.PublicKey, digest []byte, hash crypto.Hash) *planned {
	return &planned{
		mechanism: Mechanism{Kind: RSAPKCS1}, input: slices.Concat(digestInfo(hash), digest),
		verified: func(raw []byte) ([]byte, bool) {
			return raw, rsa.VerifyPKCS1v15(public, hash, digest, raw) == nil
		},
	}
}

// digestInfo is the DER of a DigestInfo up to the digest (RFC 8017, Section 9.2,
// Note 1), for id-sha256, id-sha384 and id-sha512.
func digestInfo(hash crypto.Hash) []byte {
	last := map[crypto.Hash]byte{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[hash]
	size := byte(hash.Size())
	return []byte{
		0x30, 17 + size, 0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00, 0x04, size,
	}
}
