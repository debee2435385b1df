package cms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Recipient is one recipient of an enveloped message: a certificate, or a shared key.
type Recipient struct {
	// RawIssuer and SerialNumber, or SubjectKeyID, name a certificate.
	RawIssuer    []byte
	SerialNumber *big.Int
	SubjectKeyID []byte
	// SharedKeyID names a symmetric key that both sides have; nil for a certificate.
	SharedKeyID []byte
	// KeyEncryption is how the content key is encrypted, as sent.
	KeyEncryption AlgorithmIdentifier

	kind         recipientKind
	encryptedKey []byte
	ephemeral    []byte // the sender's public key, an uncompressed point
	curve        asn1.ObjectIdentifier
	ukm          []byte
	hasUKM       bool
}

type recipientKind int

const (
	keyTransport recipientKind = iota + 1
	keyAgreement
	sharedKey
)

// Names tells whether c is the certificate that the recipient names.
func (r *Recipient) Names(c *x509.Certificate) bool {
	if r.kind == sharedKey {
		return false
	}
	si := SignerInfo{RawIssuer: r.RawIssuer, SerialNumber: r.SerialNumber, SubjectKeyID: r.SubjectKeyID}
	return si.Names(c)
}

// parseRecipientInfo reads one RecipientInfo (RFC 5652, Section 6.2), which may stand for several recipients. A kind
// that is not supported is passed over.
func parseRecipientInfo(set *cryptobyte.String) ([]*Recipient, error) {
	var in cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !set.ReadAnyASN1(&in, &tag) {
		return nil, ErrSyntax
	}
	switch tag {
	case cryptobyte_asn1.SEQUENCE:
		return parseKeyTransport(in)
	case tagExplicit(1):
		return parseKeyAgreement(in)
	case tagExplicit(2):
		return parseSharedKey(in)
	case tagExplicit(3), tagExplicit(4):
		return nil, nil // passwords (RFC 5652, Section 6.2.4) and others (Section 6.2.5)
	}
	return nil, fmt.Errorf("%w: tag %#02x", ErrSyntax, uint8(tag))
}

// parseKeyTransport reads KeyTransRecipientInfo (RFC 5652, Section 6.2.1).
func parseKeyTransport(in cryptobyte.String) ([]*Recipient, error) {
	r := &Recipient{kind: keyTransport}
	var version int
	var key cryptobyte.String
	if !in.ReadASN1Integer(&version) {
		return nil, fmt.Errorf("%w: key transport", ErrSyntax)
	}
	if version != 0 && version != 2 {
		return nil, fmt.Errorf("%w: key transport version %d", ErrVersion, version)
	}
	var err error
	if r.RawIssuer, r.SerialNumber, r.SubjectKeyID, err = parseCertificateName(&in); err != nil {
		return nil, err
	}
	if !readAlgorithm(&in, &r.KeyEncryption) || !in.ReadASN1(&key, cryptobyte_asn1.OCTET_STRING) || !in.Empty() {
		return nil, fmt.Errorf("%w: key transport", ErrSyntax)
	}
	r.encryptedKey = key
	return []*Recipient{r}, nil
}

// parseKeyAgreement reads KeyAgreeRecipientInfo (RFC 5652, Section 6.2.2).
func parseKeyAgreement(in cryptobyte.String) ([]*Recipient, error) {
	shared := Recipient{kind: keyAgreement}
	var version int
	var originator, ukm, octets, keys cryptobyte.String
	if !in.ReadASN1Integer(&version) || !in.ReadASN1(&originator, tagExplicit(0)) ||
		!in.ReadOptionalASN1(&ukm, &shared.hasUKM, tagExplicit(1)) ||
		!readAlgorithm(&in, &shared.KeyEncryption) || !in.ReadASN1(&keys, cryptobyte_asn1.SEQUENCE) || !in.Empty() {
		return nil, fmt.Errorf("%w: key agreement", ErrSyntax)
	}
	if version != 3 {
		return nil, fmt.Errorf("%w: key agreement version %d", ErrVersion, version)
	}
	if shared.hasUKM {
		if !ukm.ReadASN1(&octets, cryptobyte_asn1.OCTET_STRING) || !ukm.Empty() {
			return nil, fmt.Errorf("%w: user keying material", ErrSyntax)
		}
		shared.ukm = octets
	}
	// Other originators are static keys, which Decrypt does not support.
	if originator.PeekASN1Tag(tagExplicit(1)) {
		if err := shared.parseOriginatorKey(originator); err != nil {
			return nil, err
		}
	}
	var recipients []*Recipient
	for !keys.Empty() {
		if len(recipients) == MaxRecipients {
			return nil, fmt.Errorf("%w: more than %d recipients", ErrTooLarge, MaxRecipients)
		}
		r := shared
		if err := r.parseEncryptedKey(&keys); err != nil {
			return nil, err
		}
		recipients = append(recipients, &r)
	}
	return recipients, nil
}

// parseOriginatorKey reads OriginatorPublicKey with an EC key (RFC 5753, Section 3.1.1).
func (r *Recipient) parseOriginatorKey(in cryptobyte.String) error {
	var body cryptobyte.String
	var a AlgorithmIdentifier
	if !in.ReadASN1(&body, tagExplicit(1)) || !in.Empty() || !readAlgorithm(&body, &a) ||
		!body.ReadASN1BitStringAsBytes(&r.ephemeral) || !body.Empty() {
		return fmt.Errorf("%w: originator's key", ErrSyntax)
	}
	if !a.OID.Equal(oidECPublicKey()) {
		r.ephemeral = nil
		return nil
	}
	// The curve is the recipient's; naming it is allowed (RFC 5753, Section 3.1.1).
	if !absentOrNull(a.Parameters) {
		parameters := cryptobyte.String(a.Parameters)
		if !parameters.ReadASN1ObjectIdentifier(&r.curve) || !parameters.Empty() {
			return fmt.Errorf("%w: originator's curve", ErrSyntax)
		}
	}
	return nil
}

// parseEncryptedKey reads RecipientEncryptedKey (RFC 5652, Section 6.2.2).
func (r *Recipient) parseEncryptedKey(keys *cryptobyte.String) error {
	var in, key, byKeyID, octets cryptobyte.String
	var ski []byte
	if !keys.ReadASN1(&in, cryptobyte_asn1.SEQUENCE) {
		return fmt.Errorf("%w: recipient's encrypted key", ErrSyntax)
	}
	if in.PeekASN1Tag(tagExplicit(0)) {
		// RecipientKeyIdentifier; its date and other fields say nothing about certificates.
		if !in.ReadASN1(&byKeyID, tagExplicit(0)) || !byKeyID.ReadASN1(&octets, cryptobyte_asn1.OCTET_STRING) ||
			len(octets) == 0 {
			return fmt.Errorf("%w: recipient's key identifier", ErrSyntax)
		}
		r.SubjectKeyID = octets
	} else {
		var err error
		if r.RawIssuer, r.SerialNumber, ski, err = parseCertificateName(&in); err != nil {
			return err
		}
		if ski != nil {
			return fmt.Errorf("%w: recipient's key identifier is no RecipientKeyIdentifier", ErrSyntax)
		}
	}
	if !in.ReadASN1(&key, cryptobyte_asn1.OCTET_STRING) || !in.Empty() {
		return fmt.Errorf("%w: recipient's encrypted key", ErrSyntax)
	}
	r.encryptedKey = key
	return nil
}

// parseSharedKey reads KEKRecipientInfo (RFC 5652, Section 6.2.3).
func parseSharedKey(in cryptobyte.String) ([]*Recipient, error) {
	r := &Recipient{kind: sharedKey}
	var version int
	var id, octets, key cryptobyte.String
	if !in.ReadASN1Integer(&version) || !in.ReadASN1(&id, cryptobyte_asn1.SEQUENCE) ||
		!id.ReadASN1(&octets, cryptobyte_asn1.OCTET_STRING) || !readAlgorithm(&in, &r.KeyEncryption) ||
		!in.ReadASN1(&key, cryptobyte_asn1.OCTET_STRING) || !in.Empty() {
		return nil, fmt.Errorf("%w: key encryption key", ErrSyntax)
	}
	if version != 4 {
		return nil, fmt.Errorf("%w: key encryption key version %d", ErrVersion, version)
	}
	if r.SharedKeyID = octets; r.SharedKeyID == nil {
		r.SharedKeyID = []byte{}
	}
	r.encryptedKey = key
	return []*Recipient{r}, nil
}

// is tells whether k is the shared key the recipient names.
func (r *Recipient) is(k *SharedKey) bool {
	return r.kind == sharedKey && bytes.Equal(r.SharedKeyID, k.ID)
}
