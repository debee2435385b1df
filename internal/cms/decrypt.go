package cms

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oaepHash is the hash of RSAES-OAEP in what Encrypt writes.
const oaepHash = crypto.SHA256

// RecipientKey is what a recipient opens messages with: a certificate and its private key, a shared key, or both.
type RecipientKey struct {
	// Certificate tells which recipient is meant.
	Certificate *x509.Certificate
	// Key is the private key of Certificate: for RSA a crypto.Decrypter that takes *rsa.OAEPOptions, for an EC key an
	// *ecdsa.PrivateKey or anything with the method ECDH(*ecdh.PublicKey) ([]byte, error), as *ecdh.PrivateKey has.
	Key crypto.PrivateKey
	// SharedKey is a symmetric key; nil for none.
	SharedKey *SharedKey
}

// Decrypt opens a message: ParseEnveloped, then Enveloped.Decrypt.
func Decrypt(data []byte, k *RecipientKey) ([]byte, error) {
	e, err := ParseEnveloped(data)
	if err != nil {
		return nil, err
	}
	return e.Decrypt(k)
}

// Decrypt returns the content. In EnvelopedData nothing says who wrote it, or that it is whole.
//
// Read are AES in CBC (EnvelopedData) and in GCM (AuthEnvelopedData), keys by RSAES-OAEP, ECDH with the X9.63 KDF,
// and AES key wrap, all with SHA-256, SHA-384 or SHA-512. Not read are PKCS #1 v1.5 encryption and SHA-1, OpenSSL's
// defaults: its -keyopt options rsa_padding_mode:oaep, rsa_oaep_md:sha256 and ecdh_kdf_md:sha256 choose better.
//
// Errors: ErrNoRecipient, ErrUnsupportedAlgorithm, ErrWeakAlgorithm, ErrSyntax for bad parameters, and ErrDecrypt for
// everything that depends on a secret.
func (e *Enveloped) Decrypt(k *RecipientKey) ([]byte, error) {
	c, err := readContentCipher(e.ContentEncryption, e.Authenticated)
	if err != nil {
		return nil, err
	}
	additional, err := e.additionalData()
	if err != nil {
		return nil, err
	}
	err = ErrNoRecipient
	for _, r := range e.Recipients {
		var key []byte
		switch {
		case k.SharedKey != nil && r.is(k.SharedKey):
			key, err = r.unwrapShared(k.SharedKey)
		case k.Certificate != nil && k.Key != nil && r.Names(k.Certificate):
			key, err = r.contentKey(k.Certificate, k.Key)
		default:
			continue
		}
		if err != nil {
			continue
		}
		return c.open(key, e.encrypted, e.mac, additional)
	}
	return nil, err
}

// additionalData returns the bytes that are authenticated besides the content (RFC 5083, Section 2.2), after holding
// the content type against its attribute (RFC 5083, Section 2.1).
func (e *Enveloped) additionalData() ([]byte, error) {
	if !e.Authenticated {
		return nil, nil
	}
	if len(e.attributes) == 0 {
		if !e.ContentType.Equal(OIDData()) {
			return nil, fmt.Errorf("%w: authenticated attributes for content type %s", ErrMissingAttribute, e.ContentType)
		}
		return nil, nil
	}
	si := SignerInfo{SignedAttributes: e.attributes}
	value, err := si.signedAttribute(OIDAttributeContentType())
	if err != nil {
		return nil, err
	}
	in := cryptobyte.String(value)
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) || !in.Empty() {
		return nil, fmt.Errorf("%w: content-type attribute", ErrSyntax)
	}
	if !oid.Equal(e.ContentType) {
		return nil, fmt.Errorf("%w: %s, %s", ErrContentTypeMismatch, oid, e.ContentType)
	}
	members := make([][]byte, len(e.attributes))
	for i, a := range e.attributes {
		members[i] = a.raw
	}
	return appendSetOf(nil, tagSet, members), nil
}

func (r *Recipient) contentKey(c *x509.Certificate, key crypto.PrivateKey) ([]byte, error) {
	if r.kind == keyTransport {
		return r.decryptOAEP(key)
	}
	return r.unwrapAgreed(c, key)
}

// decryptOAEP reads RSAES-OAEP-params (RFC 4055, Section 4.1) and decrypts.
func (r *Recipient) decryptOAEP(key crypto.PrivateKey) ([]byte, error) {
	if r.KeyEncryption.OID.Equal(oidPKCS1(1)) {
		return nil, fmt.Errorf("%w: PKCS #1 v1.5 key transport", ErrWeakAlgorithm)
	}
	if !r.KeyEncryption.OID.Equal(oidPKCS1(7)) {
		return nil, fmt.Errorf("%w: key transport %s", ErrUnsupportedAlgorithm, r.KeyEncryption.OID)
	}
	in := cryptobyte.String(r.KeyEncryption.Parameters)
	var body, hash, mgf cryptobyte.String
	var hasHash, hasMGF bool
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !in.Empty() ||
		!body.ReadOptionalASN1(&hash, &hasHash, tagExplicit(0)) || !body.ReadOptionalASN1(&mgf, &hasMGF, tagExplicit(1)) {
		return nil, fmt.Errorf("%w: OAEP parameters", ErrSyntax)
	}
	if !hasHash || !hasMGF {
		return nil, fmt.Errorf("%w: OAEP with its default, SHA-1", ErrWeakAlgorithm)
	}
	if !body.Empty() {
		return nil, fmt.Errorf("%w: OAEP with a label", ErrUnsupportedAlgorithm)
	}
	h, mgfHash, err := hashAndMGF(hash, mgf)
	if err != nil {
		return nil, err
	}
	decrypter, ok := key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("%w: key of type %T does not decrypt", ErrRequest, key)
	}
	content, err := decrypter.Decrypt(rand.Reader, r.encryptedKey, &rsa.OAEPOptions{Hash: h, MGFHash: mgfHash})
	if err != nil {
		return nil, ErrDecrypt
	}
	return content, nil
}

// unwrapAgreed derives the key encryption key by ECDH and unwraps (RFC 5753, Sections 3.1.3 and 7.2).
func (r *Recipient) unwrapAgreed(c *x509.Certificate, key crypto.PrivateKey) ([]byte, error) {
	h, err := stdDHHash(r.KeyEncryption.OID)
	if err != nil {
		return nil, err
	}
	var wrap AlgorithmIdentifier
	in := cryptobyte.String(r.KeyEncryption.Parameters)
	if !readAlgorithm(&in, &wrap) || !in.Empty() {
		return nil, fmt.Errorf("%w: key wrap algorithm", ErrSyntax)
	}
	size, err := wrapKeySize(wrap)
	if err != nil {
		return nil, err
	}
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || r.ephemeral == nil {
		return nil, fmt.Errorf("%w: key agreement without an ephemeral EC key", ErrUnsupportedAlgorithm)
	}
	curve, oid := ecdhCurve(public.Curve)
	if curve == nil || (len(r.curve) > 0 && !r.curve.Equal(oid)) {
		return nil, fmt.Errorf("%w: curve of the key agreement", ErrUnsupportedAlgorithm)
	}
	agreer, err := asAgreer(key)
	if err != nil {
		return nil, err
	}
	// NewPublicKey refuses points that are not on the curve, which would give the private key away.
	peer, err := curve.NewPublicKey(r.ephemeral)
	if err != nil {
		return nil, ErrDecrypt
	}
	z, err := agreer.ECDH(peer)
	if err != nil {
		return nil, ErrDecrypt
	}
	info := sharedInfo(r.KeyEncryption.Parameters, r.ukm, r.hasUKM, size)
	return UnwrapKey(x963KDF(h, z, info, size), r.encryptedKey)
}

// agreer is a private key that agrees: *ecdh.PrivateKey, or one that lives in a token.
type agreer interface {
	ECDH(*ecdh.PublicKey) ([]byte, error)
}

func asAgreer(key crypto.PrivateKey) (agreer, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k.ECDH()
	case agreer:
		return k, nil
	}
	return nil, fmt.Errorf("%w: key of type %T does not agree on keys", ErrRequest, key)
}

func (r *Recipient) unwrapShared(k *SharedKey) ([]byte, error) {
	size, err := wrapKeySize(r.KeyEncryption)
	if err != nil {
		return nil, err
	}
	if len(k.Key) != size {
		return nil, ErrDecrypt
	}
	return UnwrapKey(k.Key, r.encryptedKey)
}

// wrapKeySize returns the key size in bytes of an AES key wrap. It has no parameters (RFC 3565, Section 2.3.2).
func wrapKeySize(a AlgorithmIdentifier) (int, error) {
	size := aesKeySize(a.OID, 5)
	if size == 0 || !absentOrNull(a.Parameters) {
		return 0, fmt.Errorf("%w: key wrap %s", ErrUnsupportedAlgorithm, a.OID)
	}
	return size, nil
}

// sharedInfo returns ECC-CMS-SharedInfo (RFC 5753, Section 7.2). wrap is the key wrap's AlgorithmIdentifier in DER, size
// that of the key encryption key in bytes.
func sharedInfo(wrap, ukm []byte, hasUKM bool, size int) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(wrap)
		if hasUKM {
			b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(ukm) })
		}
		b.AddASN1(tagExplicit(2), func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(binary.BigEndian.AppendUint32(nil, uint32(size)*8))
		})
	})
	return b.BytesOrPanic()
}

// oidStdDH is dhSinglePass-stdDH with the X9.63 KDF over that hash (RFC 5753, Section 7.1.4).
func oidStdDH(h crypto.Hash) asn1.ObjectIdentifier {
	last := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[h]
	return asn1.ObjectIdentifier{1, 3, 132, 1, 11, last}
}

func stdDHHash(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if oid.Equal(oidStdDH(h)) {
			return h, nil
		}
	}
	if oid.Equal(asn1.ObjectIdentifier{1, 3, 133, 16, 840, 63, 0, 2}) {
		return 0, fmt.Errorf("%w: key agreement with SHA-1", ErrWeakAlgorithm)
	}
	return 0, fmt.Errorf("%w: key agreement %s", ErrUnsupportedAlgorithm, oid)
}

// ecdhCurve returns the curve for key agreement, and its OID (RFC 5480, Section 2.1.1.1); nil for another curve.
func ecdhCurve(c elliptic.Curve) (ecdh.Curve, asn1.ObjectIdentifier) {
	switch c {
	case elliptic.P256():
		return ecdh.P256(), asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	case elliptic.P384():
		return ecdh.P384(), asn1.ObjectIdentifier{1, 3, 132, 0, 34}
	case elliptic.P521():
		return ecdh.P521(), asn1.ObjectIdentifier{1, 3, 132, 0, 35}
	}
	return nil, nil
}
