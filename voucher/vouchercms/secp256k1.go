package vouchercms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/briskest/briskest/internal/cms"
)

// This file opens artifacts whose signer has a key on secp256k1. crypto/x509
// reads no such certificate. minerva's fountain had such a registrar in 2017,
// and a request of its among highway's tests (parboiled_vr-00-D0-E5-02-00-20)
// is signed by it. Only ecdsa-with-SHA256 is taken, only for the signer of an
// artifact, only where Format.Secp256k1 asks for it, and always with
// FindingSecp256k1. Nothing is ever signed so.

// FindingSecp256k1: the signer's key is on secp256k1, a curve that RFC 5480, Section 2.1.1.1 does not name.
const FindingSecp256k1 = "cms-signer-on-secp256k1"

// isSecp256k1 tells whether cert is one that readSecp256k1 has made.
func isSecp256k1(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	return key.Curve == curve()
}

// readSecp256k1 reads a certificate with a key on secp256k1, or returns nil.
// crypto/x509 leaves keys alone whose algorithm it does not know, so it is
// given the certificate with another algorithm identifier of the same length;
// everything in the result that is raw is that of the real certificate.
func readSecp256k1(raw []byte) *x509.Certificate {
	// id-ecPublicKey with the curve 1.3.132.0.10.
	algorithm := []byte{0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}
	if bytes.Count(raw, algorithm) != 1 {
		return nil
	}
	disguised := bytes.Clone(raw)
	disguised[bytes.Index(raw, algorithm)+10] = 0x7f
	cert, err := x509.ParseCertificate(disguised)
	if err != nil || cert.PublicKey != nil {
		return nil
	}
	for _, part := range []*[]byte{&cert.RawTBSCertificate, &cert.RawSubjectPublicKeyInfo} {
		at := bytes.Index(disguised, *part)
		if bytes.Count(disguised, *part) != 1 {
			return nil
		}
		*part = raw[at : at+len(*part)]
	}
	cert.Raw = raw
	key := secp256k1Key(cert.RawSubjectPublicKeyInfo, algorithm)
	if key == nil {
		return nil
	}
	cert.PublicKeyAlgorithm = x509.ECDSA
	cert.PublicKey = key
	return cert
}

// secp256k1Key reads a SubjectPublicKeyInfo (RFC 5480, Section 2) with that algorithm identifier, or returns nil.
func secp256k1Key(der, algorithm []byte) *ecdsa.PublicKey {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) > 0 || !bytes.Equal(info.Algorithm.FullBytes, algorithm) {
		return nil
	}
	point := info.Key.Bytes
	if len(point) != 65 || point[0] != 4 { // uncompressed
		return nil
	}
	x, y := new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:])
	if !onCurve(x, y) {
		return nil
	}
	return &ecdsa.PublicKey{Curve: curve(), X: x, Y: y} //nolint:staticcheck // SA1019: no other way for this curve
}

// verifySecp256k1 is cms.SignedData.Verify for such a key: the attributes
// against the content (RFC 5652, Sections 5.4, 5.6, 11.1 and 11.2), then the
// signature over the attributes in DER.
func verifySecp256k1(sd *cms.SignedData, si *cms.SignerInfo, key crypto.PublicKey) error {
	sha256OID := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	ecdsaWithSHA256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	if !si.DigestAlgorithm.OID.Equal(sha256OID) || !si.SignatureAlgorithm.OID.Equal(ecdsaWithSHA256) {
		return fmt.Errorf("%w: with secp256k1 only ecdsa-with-SHA256", ErrUnsupportedAlgorithm)
	}
	contentType, err := attribute(si, cms.OIDAttributeContentType())
	if err != nil {
		return err
	}
	if want, err := asn1.Marshal(sd.ContentType); err != nil || !bytes.Equal(contentType, want) {
		return ErrContentTypeMismatch
	}
	digest, err := attribute(si, cms.OIDAttributeMessageDigest())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(sd.Content)
	if want, err := asn1.Marshal(sum[:]); err != nil || subtle.ConstantTimeCompare(digest, want) != 1 {
		return ErrDigestMismatch
	}
	signed, err := attributeSet(si.SignedAttributes)
	if err != nil {
		return err
	}
	sum = sha256.Sum256(signed)
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(public, sum[:], si.Signature) {
		return ErrSignature
	}
	return nil
}

// attribute returns the only value of the only attribute of that type.
func attribute(si *cms.SignerInfo, oid asn1.ObjectIdentifier) ([]byte, error) {
	var found [][]byte
	for i, a := range si.SignedAttributes {
		same := func(b cms.Attribute) bool { return b.Type.Equal(a.Type) }
		if slices.ContainsFunc(si.SignedAttributes[:i], same) {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateAttribute, a.Type)
		}
		if a.Type.Equal(oid) {
			found = a.Values
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: %s", ErrMissingAttribute, oid)
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("%w: %s", ErrDuplicateAttribute, oid)
	}
}

// attributeSet returns the attributes as a SET OF in DER, which is what is signed.
func attributeSet(attributes []cms.Attribute) ([]byte, error) {
	encoded, err := encode(attributes)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(encoded, bytes.Compare)
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: slices.Concat(encoded...)})
}

// curve is secp256k1 as crypto/ecdsa wants it.
func curve() *secp256k1.KoblitzCurve {
	//lint:ignore SA1019 crypto/ecdsa verifies on curves that are not its own through this interface only
	return secp256k1.S256() //nolint:staticcheck // SA1019: see above
}

func onCurve(x, y *big.Int) bool {
	//lint:ignore SA1019 the point comes as two integers, as crypto/ecdsa wants it
	return curve().IsOnCurve(x, y) //nolint:staticcheck // SA1019: see above
}
