package profile

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of a requested name.
const (
	maxNameBytes  = 8 << 10
	maxAttributes = 32
)

func nameUnreadable(hint string) error {
	return &NameError{Type: "subject", Kind: ErrNameEncoding, Hint: hint}
}

// parseName reads a Name (RFC 5280, Section 4.1.2.4). Each value becomes a Go
// string, whatever string type it had.
func parseName(der []byte) (pkix.RDNSequence, error) {
	if len(der) == 0 {
		return nil, nil
	}
	if len(der) > maxNameBytes {
		return nil, nameUnreadable("it is too long")
	}
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, nameUnreadable("it is no Name (RFC 5280, Section 4.1.2.4)")
	}
	var name pkix.RDNSequence
	attributes := 0
	for !seq.Empty() {
		var set cryptobyte.String
		if !seq.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return nil, nameUnreadable("a relative name is no set of attributes")
		}
		var rdn pkix.RelativeDistinguishedNameSET
		for !set.Empty() {
			if attributes++; attributes > maxAttributes {
				return nil, nameUnreadable("it has too many attributes")
			}
			atv, err := parseAttribute(&set)
			if err != nil {
				return nil, err
			}
			rdn = append(rdn, atv)
		}
		name = append(name, rdn)
	}
	return name, nil
}

func parseAttribute(set *cryptobyte.String) (pkix.AttributeTypeAndValue, error) {
	var atv pkix.AttributeTypeAndValue
	var seq, value cryptobyte.String
	var tag cbasn1.Tag
	if !set.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&atv.Type) ||
		!seq.ReadAnyASN1(&value, &tag) || !seq.Empty() {
		return atv, nameUnreadable("an attribute is no type with a value")
	}
	text, ok := parseText(tag, value)
	if !ok {
		return atv, &NameError{Type: attributeByOID(atv.Type).word, Kind: ErrNameEncoding, Hint: "its value is no text of a known kind"}
	}
	atv.Value = text
	return atv, nil
}

// parseText reads the string types that names come in. What is in the string
// is judged later, by the rule for it.
func parseText(tag cbasn1.Tag, value []byte) (string, bool) {
	switch tag {
	case cbasn1.UTF8String:
		return string(value), true
	case cbasn1.PrintableString, cbasn1.IA5String, 18 /* NumericString */, cbasn1.T61String, 26 /* VisibleString */ :
		// TeletexString differs from ASCII above 127, where nobody agrees on it.
		return string(value), isASCII(string(value))
	case 30: // BMPString
		if len(value)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = uint16(value[2*i])<<8 | uint16(value[2*i+1])
		}
		return string(utf16.Decode(units)), true
	default:
		return "", false
	}
}

// appendName writes a Name whose attributes the rules have taken.
func (s *subjectRules) appendName(b *cryptobyte.Builder, name pkix.RDNSequence) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range name {
			if len(rdn) == 1 {
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { s.appendAttribute(b, &rdn[0]) })
				continue
			}
			appendSet(b, len(rdn), func(b *cryptobyte.Builder, i int) { s.appendAttribute(b, &rdn[i]) })
		}
	})
}

// appendSet writes a SET OF in DER order (X.690, Section 11.6).
func appendSet(b *cryptobyte.Builder, n int, element func(b *cryptobyte.Builder, i int)) {
	elements := make([][]byte, n)
	for i := range elements {
		var one cryptobyte.Builder
		element(&one, i)
		der, err := one.Bytes()
		if err != nil {
			b.SetError(err)
			return
		}
		elements[i] = der
	}
	slices.SortFunc(elements, bytes.Compare)
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, der := range elements {
			b.AddBytes(der)
		}
	})
}

func (s *subjectRules) appendAttribute(b *cryptobyte.Builder, atv *pkix.AttributeTypeAndValue) {
	text, _ := atv.Value.(string)
	tag := stringTag(s.syntaxOf(atv.Type), text)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(atv.Type)
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	})
}

func (s *subjectRules) syntaxOf(oid asn1.ObjectIdentifier) stringSyntax {
	for i := range s.rules {
		if s.rules[i].oid.Equal(oid) {
			return s.rules[i].syntax
		}
	}
	return directoryString
}

// stringTag chooses the string type: for a DirectoryString the PrintableString
// if the text fits, else UTF8String, the two that RFC 5280, Section 4.1.2.4,
// leaves.
func stringTag(s stringSyntax, text string) cbasn1.Tag {
	switch {
	case s == ia5String:
		return cbasn1.IA5String
	case s == printableString || isPrintable(text):
		return cbasn1.PrintableString
	default:
		return cbasn1.UTF8String
	}
}
