package cms

import (
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// parseSignerInfo reads SignerInfo (RFC 5652, Section 5.3).
func parseSignerInfo(set *cryptobyte.String) (*SignerInfo, error) {
	si := new(SignerInfo)
	var in, signature cryptobyte.String
	if !set.ReadASN1(&in, cryptobyte_asn1.SEQUENCE) || !in.ReadASN1Integer(&si.Version) {
		return nil, fmt.Errorf("%w: SignerInfo", ErrSyntax)
	}
	if si.Version != 1 && si.Version != 3 {
		return nil, fmt.Errorf("%w: SignerInfo version %d", ErrVersion, si.Version)
	}
	var err error
	if si.RawIssuer, si.SerialNumber, si.SubjectKeyID, err = parseCertificateName(&in); err != nil {
		return nil, err
	}
	if !readAlgorithm(&in, &si.DigestAlgorithm) {
		return nil, fmt.Errorf("%w: digest algorithm", ErrSyntax)
	}
	if si.SignedAttributes, si.HasSignedAttributes, err = parseAttributes(&in, tagExplicit(0)); err != nil {
		return nil, fmt.Errorf("signed attributes: %w", err)
	}
	if !readAlgorithm(&in, &si.SignatureAlgorithm) {
		return nil, fmt.Errorf("%w: signature algorithm", ErrSyntax)
	}
	if !in.ReadASN1(&signature, cryptobyte_asn1.OCTET_STRING) {
		return nil, fmt.Errorf("%w: signature value", ErrSyntax)
	}
	si.Signature = signature
	if si.UnsignedAttributes, _, err = parseAttributes(&in, tagExplicit(1)); err != nil {
		return nil, fmt.Errorf("unsigned attributes: %w", err)
	}
	if !in.Empty() {
		return nil, fmt.Errorf("%w: fields after the unsigned attributes", ErrSyntax)
	}
	si.SigningTime = si.signingTime()
	return si, nil
}

// parseCertificateName reads SignerIdentifier or RecipientIdentifier (RFC 5652, Sections 5.3 and 6.2.1): issuer and serial
// number, or the subject key identifier as [0] IMPLICIT OCTET STRING.
func parseCertificateName(in *cryptobyte.String) (issuer []byte, serial *big.Int, ski []byte, err error) {
	var name cryptobyte.String
	if in.PeekASN1Tag(cryptobyte_asn1.SEQUENCE) {
		serial = new(big.Int)
		var rdns cryptobyte.String
		if !in.ReadASN1(&name, cryptobyte_asn1.SEQUENCE) ||
			!name.ReadASN1Element(&rdns, cryptobyte_asn1.SEQUENCE) ||
			!name.ReadASN1Integer(serial) || !name.Empty() {
			return nil, nil, nil, fmt.Errorf("%w: issuer and serial number", ErrSyntax)
		}
		return rdns, serial, nil, nil
	}
	if ski, err = readImplicitOctets(in, 0); err != nil {
		return nil, nil, nil, fmt.Errorf("subject key identifier: %w", err)
	}
	if len(ski) == 0 {
		return nil, nil, nil, fmt.Errorf("%w: empty subject key identifier", ErrSyntax)
	}
	return nil, nil, ski, nil
}

// readImplicitOctets reads an OCTET STRING with the context-specific tag n. In BER it may be in segments, which
// ToDER cannot know for one: they are joined here.
func readImplicitOctets(in *cryptobyte.String, n uint8) ([]byte, error) {
	var value cryptobyte.String
	primitive := cryptobyte_asn1.Tag(n).ContextSpecific()
	if in.PeekASN1Tag(primitive) {
		if !in.ReadASN1(&value, primitive) {
			return nil, ErrSyntax
		}
		return value, nil
	}
	if !in.ReadASN1(&value, primitive.Constructed()) {
		return nil, fmt.Errorf("%w: field [%d] is missing", ErrSyntax, n)
	}
	joined := make([]byte, 0, len(value))
	for !value.Empty() {
		var segment cryptobyte.String
		if !value.ReadASN1(&segment, cryptobyte_asn1.OCTET_STRING) {
			return nil, fmt.Errorf("%w: segment of field [%d]", ErrSyntax, n)
		}
		joined = append(joined, segment...)
	}
	return joined, nil
}

// readAlgorithm reads an AlgorithmIdentifier with at most one element of parameters.
func readAlgorithm(in *cryptobyte.String, a *AlgorithmIdentifier) bool {
	var body, parameters cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&a.OID) {
		return false
	}
	if body.Empty() {
		return true
	}
	if !body.ReadAnyASN1Element(&parameters, &tag) || !body.Empty() {
		return false
	}
	a.Parameters = parameters
	return true
}

// parseAttributes reads an optional [n] IMPLICIT SET OF Attribute. The set is not empty when present
// (RFC 5652, Section 5.3: SIZE (1..MAX)).
func parseAttributes(in *cryptobyte.String, tag cryptobyte_asn1.Tag) ([]Attribute, bool, error) {
	var set cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&set, &present, tag) {
		return nil, false, ErrSyntax
	}
	if !present {
		return nil, false, nil
	}
	if set.Empty() {
		return nil, false, fmt.Errorf("%w: empty set of attributes", ErrSyntax)
	}
	attributes, err := readAttributes(set)
	return attributes, true, err
}

func readAttributes(set cryptobyte.String) ([]Attribute, error) {
	var attributes []Attribute
	for !set.Empty() {
		if len(attributes) == MaxAttributes {
			return nil, fmt.Errorf("%w: more than %d attributes", ErrTooLarge, MaxAttributes)
		}
		var a Attribute
		var raw, body, values cryptobyte.String
		if !set.ReadASN1Element(&raw, cryptobyte_asn1.SEQUENCE) {
			return nil, fmt.Errorf("%w: attribute", ErrSyntax)
		}
		a.raw = raw
		if !raw.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&a.Type) ||
			!body.ReadASN1(&values, cryptobyte_asn1.SET) || !body.Empty() {
			return nil, fmt.Errorf("%w: attribute", ErrSyntax)
		}
		for !values.Empty() {
			var value cryptobyte.String
			var tag cryptobyte_asn1.Tag
			if len(a.Values) == MaxAttributes {
				return nil, fmt.Errorf("%w: more than %d values of %s", ErrTooLarge, MaxAttributes, a.Type)
			}
			if !values.ReadAnyASN1Element(&value, &tag) {
				return nil, fmt.Errorf("%w: value of %s", ErrSyntax, a.Type)
			}
			a.Values = append(a.Values, value)
		}
		attributes = append(attributes, a)
	}
	return attributes, nil
}

// signedAttribute returns the one value of the signed attribute of that type. None: ErrMissingAttribute; two such
// attributes, or not exactly one value: ErrDuplicateAttribute (RFC 5652, Sections 11.1, 11.2 and 11.3).
func (si *SignerInfo) signedAttribute(oid asn1.ObjectIdentifier) ([]byte, error) {
	var value []byte
	for _, a := range si.SignedAttributes {
		if !a.Type.Equal(oid) {
			continue
		}
		if value != nil || len(a.Values) != 1 {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateAttribute, oid)
		}
		value = a.Values[0]
	}
	if value == nil {
		return nil, fmt.Errorf("%w: %s", ErrMissingAttribute, oid)
	}
	return value, nil
}

func (si *SignerInfo) signingTime() time.Time {
	value, err := si.signedAttribute(OIDAttributeSigningTime())
	if err != nil {
		return time.Time{}
	}
	in := cryptobyte.String(value)
	var t time.Time
	if in.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		if !in.ReadASN1UTCTime(&t) {
			return time.Time{}
		}
		return t.UTC()
	}
	if !in.ReadASN1GeneralizedTime(&t) {
		return time.Time{}
	}
	return t.UTC()
}
