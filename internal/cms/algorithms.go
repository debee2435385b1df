package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // registers SHA-256
	_ "crypto/sha512" // registers SHA-384 and SHA-512
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Digests (RFC 5754, Section 2) and signatures (RFC 5754, Section 3; RFC 4056, Section 3; RFC 8419, Section 3.1).
func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }
func oidSHA384() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2} }
func oidSHA512() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3} }

func oidECPublicKey() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} }
func oidEd25519() asn1.ObjectIdentifier     { return asn1.ObjectIdentifier{1, 3, 101, 112} }

// ecdsa-with-SHA256, -384 and -512 end in 2, 3 and 4.
func oidECDSAWith(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, last}
}

// pkcs-1: rsaEncryption 1, RSAES-OAEP 7, MGF1 8, RSASSA-PSS 10, sha256WithRSAEncryption 11, -384 12, -512 13.
func oidPKCS1(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, last}
}

// hashOf returns the hash a digest algorithm names. Its parameters are absent or NULL (RFC 5754, Section 2).
func hashOf(a AlgorithmIdentifier) (crypto.Hash, error) {
	var h crypto.Hash
	switch a.OID.String() {
	case "2.16.840.1.101.3.4.2.1":
		h = crypto.SHA256
	case "2.16.840.1.101.3.4.2.2":
		h = crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		h = crypto.SHA512
	case "1.3.14.3.2.26":
		return 0, fmt.Errorf("%w: SHA-1", ErrWeakAlgorithm)
	case "1.2.840.113549.2.5":
		return 0, fmt.Errorf("%w: MD5", ErrWeakAlgorithm)
	default:
		return 0, fmt.Errorf("%w: digest %s", ErrUnsupportedAlgorithm, a.OID)
	}
	if !absentOrNull(a.Parameters) {
		return 0, fmt.Errorf("%w: parameters of digest %s", ErrUnsupportedAlgorithm, a.OID)
	}
	return h, nil
}

func oidOfHash(h crypto.Hash) asn1.ObjectIdentifier {
	switch h {
	case crypto.SHA256:
		return oidSHA256()
	case crypto.SHA384:
		return oidSHA384()
	case crypto.SHA512:
		return oidSHA512()
	}
	panic("cms: internal error: no OID for " + h.String())
}

func absentOrNull(parameters []byte) bool {
	return parameters == nil || bytes.Equal(parameters, []byte{5, 0})
}

// scheme is a signature algorithm: how a signature is to be made or checked.
type scheme struct {
	kind kind
	// hash is the one the signature algorithm names; 0 when it leaves it to the digest algorithm.
	hash crypto.Hash
	salt int // of PSS, in bytes
}

type kind int

const (
	kindPKCS1 kind = iota + 1
	kindPSS
	kindECDSA
	kindEd25519
)

// schemeOf reads a signature algorithm.
func schemeOf(a AlgorithmIdentifier) (scheme, error) {
	var s scheme
	switch a.OID.String() {
	case "1.2.840.113549.1.1.1":
		s = scheme{kind: kindPKCS1}
	case "1.2.840.113549.1.1.11":
		s = scheme{kind: kindPKCS1, hash: crypto.SHA256}
	case "1.2.840.113549.1.1.12":
		s = scheme{kind: kindPKCS1, hash: crypto.SHA384}
	case "1.2.840.113549.1.1.13":
		s = scheme{kind: kindPKCS1, hash: crypto.SHA512}
	case "1.2.840.10045.4.3.2":
		s = scheme{kind: kindECDSA, hash: crypto.SHA256}
	case "1.2.840.10045.4.3.3":
		s = scheme{kind: kindECDSA, hash: crypto.SHA384}
	case "1.2.840.10045.4.3.4":
		s = scheme{kind: kindECDSA, hash: crypto.SHA512}
	case "1.2.840.10045.2.1":
		// id-ecPublicKey names a key and no signature; the hash is then that of the digest algorithm. A pledge whose
		// request is among the test files of the highway MASA (mranga-1-vr) sends it, and OpenSSL takes it.
		s = scheme{kind: kindECDSA}
	case "1.3.101.112":
		s = scheme{kind: kindEd25519}
	case "1.2.840.113549.1.1.10":
		return pssScheme(a.Parameters)
	case "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1":
		return s, fmt.Errorf("%w: signature algorithm %s", ErrWeakAlgorithm, a.OID)
	default:
		return s, fmt.Errorf("%w: signature algorithm %s", ErrUnsupportedAlgorithm, a.OID)
	}
	if !absentOrNull(a.Parameters) {
		return s, fmt.Errorf("%w: parameters of signature algorithm %s", ErrUnsupportedAlgorithm, a.OID)
	}
	return s, nil
}

// pssScheme reads RSASSA-PSS-params (RFC 4055, Section 3.1). The defaults are SHA-1 and so refused.
func pssScheme(parameters []byte) (scheme, error) {
	s := scheme{kind: kindPSS, salt: 20}
	bad := fmt.Errorf("%w: PSS parameters", ErrSyntax)
	in := cryptobyte.String(parameters)
	var body, hash, mgf, salt cryptobyte.String
	var hasHash, hasMGF, hasSalt bool
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !in.Empty() ||
		!body.ReadOptionalASN1(&hash, &hasHash, tagExplicit(0)) ||
		!body.ReadOptionalASN1(&mgf, &hasMGF, tagExplicit(1)) ||
		!body.ReadOptionalASN1(&salt, &hasSalt, tagExplicit(2)) {
		return s, bad
	}
	if !hasHash || !hasMGF {
		return s, fmt.Errorf("%w: PSS with its default, SHA-1", ErrWeakAlgorithm)
	}
	h, mgfHash, err := hashAndMGF(hash, mgf)
	if err != nil {
		return s, err
	}
	if h != mgfHash {
		return s, fmt.Errorf("%w: PSS with two hashes", ErrUnsupportedAlgorithm)
	}
	s.hash = h
	if hasSalt && (!salt.ReadASN1Integer(&s.salt) || !salt.Empty()) {
		return s, bad
	}
	trailer := 1
	if !body.Empty() {
		var field cryptobyte.String
		if !body.ReadASN1(&field, tagExplicit(3)) || !field.ReadASN1Integer(&trailer) || !field.Empty() || !body.Empty() {
			return s, bad
		}
	}
	// A salt of zero means "find out" to crypto/rsa, and no peer uses it. 512 is more than fits any key read here.
	if s.salt < 1 || s.salt > 512 || trailer != 1 {
		return s, fmt.Errorf("%w: PSS with salt length %d and trailer %d", ErrUnsupportedAlgorithm, s.salt, trailer)
	}
	return s, nil
}

// hashAndMGF reads the contents of the first two fields of PSS and OAEP parameters: a digest algorithm, and MGF1
// with its digest algorithm (RFC 4055, Section 2.2).
func hashAndMGF(hash, mgf cryptobyte.String) (h, mgfHash crypto.Hash, err error) {
	var a, m, ma AlgorithmIdentifier
	if !readAlgorithm(&hash, &a) || !hash.Empty() || !readAlgorithm(&mgf, &m) || !mgf.Empty() {
		return 0, 0, fmt.Errorf("%w: hash or mask generation of RSA parameters", ErrSyntax)
	}
	if !m.OID.Equal(oidPKCS1(8)) {
		return 0, 0, fmt.Errorf("%w: mask generation %s", ErrUnsupportedAlgorithm, m.OID)
	}
	in := cryptobyte.String(m.Parameters)
	if !readAlgorithm(&in, &ma) || !in.Empty() {
		return 0, 0, fmt.Errorf("%w: mask generation of RSA parameters", ErrSyntax)
	}
	if h, err = hashOf(a); err != nil {
		return 0, 0, err
	}
	mgfHash, err = hashOf(ma)
	return h, mgfHash, err
}

// verify checks signature over message by the key.
func (s scheme) verify(key crypto.PublicKey, message, signature []byte) error {
	ok := false
	switch pub := key.(type) {
	case *rsa.PublicKey:
		if err := checkRSASize(pub); err != nil {
			return err
		}
		digest := sum(s.hash, message)
		switch s.kind {
		case kindPKCS1:
			ok = rsa.VerifyPKCS1v15(pub, s.hash, digest, signature) == nil
		case kindPSS:
			ok = rsa.VerifyPSS(pub, s.hash, digest, signature, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.hash}) == nil
		default:
			return fmt.Errorf("%w: the key is RSA, the signature algorithm is not", ErrSignature)
		}
	case *ecdsa.PublicKey:
		if s.kind != kindECDSA {
			return fmt.Errorf("%w: the key is ECDSA, the signature algorithm is not", ErrSignature)
		}
		if !supportedCurve(pub.Curve) {
			return fmt.Errorf("%w: curve %s", ErrUnsupportedAlgorithm, pub.Curve.Params().Name)
		}
		ok = ecdsa.VerifyASN1(pub, sum(s.hash, message), signature)
	case ed25519.PublicKey:
		if s.kind != kindEd25519 {
			return fmt.Errorf("%w: the key is Ed25519, the signature algorithm is not", ErrSignature)
		}
		ok = ed25519.Verify(pub, message, signature)
	default:
		return fmt.Errorf("%w: key of type %T", ErrUnsupportedAlgorithm, key)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// checkRSASize refuses short keys for their weakness, and long ones because checking a signature with a key that a
// peer chose must not cost seconds. crypto/tls draws the upper line at the same size.
func checkRSASize(pub *rsa.PublicKey) error {
	switch bits := pub.N.BitLen(); {
	case bits < 2048:
		return fmt.Errorf("%w: RSA key of %d bits", ErrWeakAlgorithm, bits)
	case bits > MaxRSABits:
		return fmt.Errorf("%w: RSA key of %d bits", ErrUnsupportedAlgorithm, bits)
	}
	return nil
}

func supportedCurve(c elliptic.Curve) bool {
	return c == elliptic.P256() || c == elliptic.P384() || c == elliptic.P521()
}

func sum(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}
