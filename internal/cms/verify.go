package cms

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Verify checks si's signature over sd.Content by cert's key (RFC 5652, Section 5.6). It says that the holder of that
// key signed this content as this content type, and nothing else: not whether the certificate is trusted, has
// expired, or is the one that si names (see SignerInfo.Names), nor anything about the signing time.
//
// Signed attributes are mandatory unless the content type is id-data (RFC 5652, Section 5.3). A caller that wants them
// always looks at si.HasSignedAttributes.
//
// Errors: ErrNoContent, ErrSignature, ErrDigestMismatch, ErrContentTypeMismatch, ErrDuplicateAttribute,
// ErrMissingAttribute, ErrNoSignedAttributes, ErrAttributesAsContent, ErrWeakAlgorithm, ErrUnsupportedAlgorithm,
// ErrSyntax.
func (sd *SignedData) Verify(si *SignerInfo, cert *x509.Certificate) error {
	return sd.VerifyKey(si, cert.PublicKey)
}

// VerifyKey is Verify for a caller that has no certificate but a key: an *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey. A first CMC request is signed by a key that has no certificate yet (RFC 5272, Section 4.2).
func (sd *SignedData) VerifyKey(si *SignerInfo, key crypto.PublicKey) error {
	if sd.Content == nil {
		return ErrNoContent
	}
	return sd.verify(si, key, sd.Content)
}

// VerifyDetached is Verify over content that travelled elsewhere (RFC 5652, Section 5.2). When the message has
// content too, it is an error that says so by ErrRequest.
func (sd *SignedData) VerifyDetached(si *SignerInfo, cert *x509.Certificate, content []byte) error {
	if sd.Content != nil {
		return fmt.Errorf("%w: the message is not detached from its content", ErrRequest)
	}
	return sd.verify(si, cert.PublicKey, content)
}

func (sd *SignedData) verify(si *SignerInfo, key crypto.PublicKey, content []byte) error {
	hash, err := hashOf(si.DigestAlgorithm)
	if err != nil {
		return err
	}
	s, err := schemeOf(si.SignatureAlgorithm)
	if err != nil {
		return err
	}
	if s.hash == 0 {
		s.hash = hash
	}
	// Without signed attributes there is one digest only. PSS has the same hash for both anyway
	// (RFC 4056, Section 3); ECDSA and PKCS #1 do not say so.
	if s.hash != hash && (!si.HasSignedAttributes || s.kind == kindPSS) {
		return fmt.Errorf("%w: digest and signature algorithm name different hashes", ErrSignature)
	}
	if !si.HasSignedAttributes {
		if err := sd.checkUnattributed(content); err != nil {
			return err
		}
		return s.verify(key, content, si.Signature)
	}
	if err := sd.checkAttributes(si, sum(hash, content)); err != nil {
		return err
	}
	return s.verifyAttributes(key, si)
}

// verifyAttributes checks a signature over the DER of the set of attributes, whatever order was sent
// (RFC 5652, Section 5.4). Failing that, it takes one over the attributes in the order sent: the NIST pledge whose request is
// among the test files of the highway MASA (mranga-1-vr) signs so, and OpenSSL takes it. The same attributes are
// signed either way.
func (s scheme) verifyAttributes(key crypto.PublicKey, si *SignerInfo) error {
	attributes := make([][]byte, len(si.SignedAttributes))
	for i, a := range si.SignedAttributes {
		attributes[i] = a.raw
	}
	asSent := appendSet(nil, tagSet, attributes)
	der := appendSetOf(nil, tagSet, attributes)
	err := s.verify(key, der, si.Signature)
	if errors.Is(err, ErrSignature) && !bytes.Equal(asSent, der) {
		return s.verify(key, asSent, si.Signature)
	}
	return err
}

// checkUnattributed refuses what must not be signed without attributes.
func (sd *SignedData) checkUnattributed(content []byte) error {
	if !sd.ContentType.Equal(OIDData()) {
		return fmt.Errorf("%w: mandatory for content type %s", ErrNoSignedAttributes, sd.ContentType)
	}
	// A signature over attributes is a signature over bytes: whoever removes the attributes from a message and puts
	// their DER in place of its content has a message that verifies, with content nobody meant
	// to sign. RFC 5652 has no defence for id-data, so content of that form is refused.
	if looksLikeAttributes(content) {
		return ErrAttributesAsContent
	}
	return nil
}

// looksLikeAttributes tells whether b is, as a whole, a SET OF Attribute.
func looksLikeAttributes(b []byte) bool {
	in := cryptobyte.String(b)
	var set cryptobyte.String
	if !in.ReadASN1(&set, cryptobyte_asn1.SET) || !in.Empty() || set.Empty() {
		return false
	}
	// More attributes than the limit are still attributes.
	for !set.Empty() {
		var body, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !set.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&oid) ||
			!body.ReadASN1(&values, cryptobyte_asn1.SET) || !body.Empty() {
			return false
		}
	}
	return true
}

// checkAttributes holds the signed attributes against the content (RFC 5652, Sections 5.3, 5.6, 11.1 and 11.2).
func (sd *SignedData) checkAttributes(si *SignerInfo, digest []byte) error {
	for i, a := range si.SignedAttributes {
		for _, b := range si.SignedAttributes[:i] {
			if a.Type.Equal(b.Type) {
				return fmt.Errorf("%w: %s", ErrDuplicateAttribute, a.Type)
			}
		}
	}
	value, err := si.signedAttribute(OIDAttributeContentType())
	if err != nil {
		return err
	}
	in := cryptobyte.String(value)
	var contentType asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&contentType) || !in.Empty() {
		return fmt.Errorf("%w: content-type attribute", ErrSyntax)
	}
	if !contentType.Equal(sd.ContentType) {
		return fmt.Errorf("%w: %s, %s", ErrContentTypeMismatch, contentType, sd.ContentType)
	}
	if value, err = si.signedAttribute(OIDAttributeMessageDigest()); err != nil {
		return err
	}
	var signed cryptobyte.String
	in = cryptobyte.String(value)
	if !in.ReadASN1(&signed, cryptobyte_asn1.OCTET_STRING) || !in.Empty() {
		return fmt.Errorf("%w: message-digest attribute", ErrSyntax)
	}
	if subtle.ConstantTimeCompare(signed, digest) != 1 {
		return ErrDigestMismatch
	}
	return nil
}

// appendSetOf appends a SET OF in DER (X.690, Section 11.6) with the given tag. It sorts members in place.
func appendSetOf(b []byte, tag byte, members [][]byte) []byte {
	slices.SortFunc(members, bytes.Compare)
	return appendSet(b, tag, members)
}

// appendSet appends members, each in DER, as one constructed element with the given tag, in their order.
func appendSet(b []byte, tag byte, members [][]byte) []byte {
	size := 0
	for _, m := range members {
		size += len(m)
	}
	b = slices.Grow(b, headerSize(size)+size)
	b = appendHeader(b, tag, size)
	for _, m := range members {
		b = append(b, m...)
	}
	return b
}
