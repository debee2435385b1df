package profile

import (
	"encoding/asn1"
	"strconv"
	"strings"
)

// The object identifiers are functions so that nobody can change one for everybody else.

// oidCE is an OID below id-ce (RFC 5280, Section 4.2.1).
func oidCE(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, last} }

// oidPE is an OID below id-pe (RFC 5280, Section 4.2.2).
func oidPE(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, last}
}

// oidOtherName is an OID below id-on: 4 is HardwareModuleName
// (RFC 4108, Section 5), 10 AcpNodeName (RFC 8994, Section 6.2.2.1).
func oidOtherName(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, last}
}

// oidKP is an OID below id-kp (RFC 5280, Section 4.2.1.12).
func oidKP(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, last}
}

// oidAD is an OID below id-ad: 1 is OCSP, 2 caIssuers (RFC 5280, Section 4.2.2.1).
func oidAD(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, last}
}

// oidNoCheck is id-pkix-ocsp-nocheck (RFC 6960, Section 4.2.2.2.1).
func oidNoCheck() asn1.ObjectIdentifier { return append(oidAD(1), 5) }

// oidCPS is id-qt-cps (RFC 5280, Section 4.2.1.4).
func oidCPS() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 2, 1} }

// parseOID reads a dotted OID of 2 to 20 arcs.
func parseOID(text string) (asn1.ObjectIdentifier, bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 20 {
		return nil, false
	}
	oid := make(asn1.ObjectIdentifier, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return nil, false
		}
		oid[i] = int(n)
	}
	if oid[0] > 2 || (oid[0] < 2 && oid[1] > 39) {
		return nil, false
	}
	return oid, true
}

// attribute is a type of subject attribute: how long its values may be, in
// characters, and which string they are written as (RFC 5280, Appendix A.1).
type attribute struct {
	word    string
	oid     asn1.ObjectIdentifier
	longest int
	syntax  stringSyntax
}

type stringSyntax int

const (
	directoryString stringSyntax = iota // PrintableString where it can, else UTF8String
	printableString
	ia5String
)

// attributeTypes lists the types that have a word.
func attributeTypes() []attribute {
	return []attribute{
		{"common_name", asn1.ObjectIdentifier{2, 5, 4, 3}, 64, directoryString},
		{"surname", asn1.ObjectIdentifier{2, 5, 4, 4}, 128, directoryString},
		{"serial_number", asn1.ObjectIdentifier{2, 5, 4, 5}, 64, printableString},
		{"country", asn1.ObjectIdentifier{2, 5, 4, 6}, 2, printableString},
		{"locality", asn1.ObjectIdentifier{2, 5, 4, 7}, 128, directoryString},
		{"state", asn1.ObjectIdentifier{2, 5, 4, 8}, 128, directoryString},
		{"street", asn1.ObjectIdentifier{2, 5, 4, 9}, 128, directoryString},
		{"organization", asn1.ObjectIdentifier{2, 5, 4, 10}, 64, directoryString},
		{"organizational_unit", asn1.ObjectIdentifier{2, 5, 4, 11}, 64, directoryString},
		{"title", asn1.ObjectIdentifier{2, 5, 4, 12}, 64, directoryString},
		{"postal_code", asn1.ObjectIdentifier{2, 5, 4, 17}, 40, directoryString},
		{"given_name", asn1.ObjectIdentifier{2, 5, 4, 42}, 128, directoryString},
		{"dn_qualifier", asn1.ObjectIdentifier{2, 5, 4, 46}, 64, printableString},
		{"pseudonym", asn1.ObjectIdentifier{2, 5, 4, 65}, 128, directoryString},
		{"user_id", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, 256, directoryString},
		{"domain_component", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, 63, ia5String},
		{"email", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, 255, ia5String},
	}
}

// attributeByWord finds a type by its word or its dotted OID.
func attributeByWord(word string) (attribute, bool) {
	for _, a := range attributeTypes() {
		if a.word == word {
			return a, true
		}
	}
	oid, ok := parseOID(word)
	return attributeByOID(oid), ok
}

// attributeByOID finds a type; one without a word is a DirectoryString.
func attributeByOID(oid asn1.ObjectIdentifier) attribute {
	for _, a := range attributeTypes() {
		if a.oid.Equal(oid) {
			return a
		}
	}
	return attribute{word: oid.String(), oid: oid, longest: 256}
}
