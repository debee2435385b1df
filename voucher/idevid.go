package voucher

import (
	"crypto/sha1" //nolint:gosec // RFC 5280, Section 4.2.1.2: a key identifier, not a signature
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SerialNumber returns the device's serial number that an IDevID certificate
// states: the one X520SerialNumber (2.5.4.5) of its subject, as a string (RFC
// 8995, Section 2.3.1). The certificate's own serialNumber field is another
// thing and is not looked at. None, several, or one that is empty, over 256
// bytes or holds control characters is an error that wraps [ErrSerialNumber].
func SerialNumber(idevid *x509.Certificate) (string, error) {
	oid := asn1.ObjectIdentifier{2, 5, 4, 5}
	var found []any
	for _, attribute := range idevid.Subject.Names {
		if attribute.Type.Equal(oid) {
			found = append(found, attribute.Value)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%w: %d serialNumber attributes, one was expected", ErrSerialNumber, len(found))
	}
	serial, ok := found[0].(string)
	if !ok {
		return "", fmt.Errorf("%w: not a string", ErrSerialNumber)
	}
	if err := checkSerialNumber(serial); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSerialNumber, err)
	}
	return serial, nil
}

// IDevIDIssuer returns the leaf idevid-issuer for an IDevID certificate: the
// value of its AuthorityKeyIdentifier extension, whole, as the DER OCTET
// STRING that it is in the certificate (rfc8366bis, Section 6.3). Without
// that extension it is built from the SHA-1 of the certificate's own public
// key (rfc8366bis, Section 6.1).
func IDevIDIssuer(idevid *x509.Certificate) ([]byte, error) {
	oid := asn1.ObjectIdentifier{2, 5, 29, 35}
	for _, extension := range idevid.Extensions {
		if extension.Id.Equal(oid) {
			return asn1.Marshal(extension.Value)
		}
	}
	key, err := publicKeyBits(idevid)
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum(key) //nolint:gosec // as above
	extension, err := asn1.Marshal(authorityKeyID{KeyID: hash[:]})
	if err != nil {
		return nil, fmt.Errorf("idevid-issuer: %w", err)
	}
	return asn1.Marshal(extension)
}

// authorityKeyID is AuthorityKeyIdentifier (RFC 5280, Section 4.2.1.1).
type authorityKeyID struct {
	KeyID  []byte        `asn1:"optional,tag:0"`
	Issuer asn1.RawValue `asn1:"optional,tag:1"`
	Serial asn1.RawValue `asn1:"optional,tag:2"`
}

// publicKeyBits returns subjectPublicKey, the BIT STRING without the header.
func publicKeyBits(cert *x509.Certificate) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("certificate's public key info is malformed: %w", err)
	}
	return info.Key.Bytes, nil
}

// IssuerKeyID returns the key identifier that a leaf idevid-issuer holds. The
// whole extension value is the form to send (rfc8366bis, Section 6.3); the
// older forms are taken too: the bare SEQUENCE, the key identifier in an OCTET
// STRING (nqminds with RFC names), the bare key identifier of 20 bytes. False
// is returned for anything else, such as an issuer's name as text.
func IssuerKeyID(issuer []byte) ([]byte, bool) {
	if id, ok := sequenceKeyID(issuer); ok {
		return id, true
	}
	var inner cryptobyte.String
	if s := cryptobyte.String(issuer); s.ReadASN1(&inner, cbasn1.OCTET_STRING) && s.Empty() {
		if id, ok := sequenceKeyID(inner); ok {
			return id, true
		}
		return inner, len(inner) > 0
	}
	return issuer, len(issuer) == sha1.Size
}

func sequenceKeyID(der []byte) ([]byte, bool) {
	var id, rest cryptobyte.String
	s := cryptobyte.String(der)
	var has bool
	if !s.ReadASN1(&rest, cbasn1.SEQUENCE) || !s.Empty() ||
		!rest.ReadOptionalASN1(&id, &has, cbasn1.Tag(0).ContextSpecific()) || !has || len(id) == 0 ||
		!rest.SkipOptionalASN1(cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		!rest.SkipOptionalASN1(cbasn1.Tag(2).ContextSpecific()) || !rest.Empty() {
		return nil, false
	}
	return id, true
}

// isIssuerExtension tells whether issuer has the form of rfc8366bis, Section 6.3.
func isIssuerExtension(issuer []byte) bool {
	var inner []byte
	if rest, err := asn1.Unmarshal(issuer, &inner); err != nil || len(rest) > 0 {
		return false
	}
	var aki authorityKeyID
	rest, err := asn1.Unmarshal(inner, &aki)
	return err == nil && len(rest) == 0
}

// DomainID returns what the audit-log names a domain by: the key identifier of
// the certificate's SubjectKeyIdentifier extension, or where there is none the
// SHA-256 of its SubjectPublicKeyInfo (RFC 8995, Section 5.8.2).
func DomainID(cert *x509.Certificate) []byte {
	if len(cert.SubjectKeyId) > 0 {
		return cert.SubjectKeyId
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return sum[:]
}
