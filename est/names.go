package est

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// oidEmailAddress is the content of 1.2.840.113549.1.9.1, an address within a distinguished name.
const oidEmailAddress = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"

// maxAltNames bounds the alternative names that are compared.
const maxAltNames = 1000

// canonicalName returns a form of a distinguished name in DER that is the same string for every spelling that
// RFC 5280, Section 7.1, calls a match.
func canonicalName(der []byte) (string, bool) {
	input := cryptobyte.String(der)
	var name cryptobyte.String
	if !input.ReadASN1(&name, asn1.SEQUENCE) || !input.Empty() {
		return "", false
	}
	var out []byte
	for !name.Empty() {
		var rdn cryptobyte.String
		if !name.ReadASN1(&rdn, asn1.SET) || rdn.Empty() {
			return "", false
		}
		var parts []string
		for !rdn.Empty() {
			part, ok := canonicalAttribute(&rdn)
			if !ok {
				return "", false
			}
			parts = append(parts, part)
		}
		slices.Sort(parts) // an RDN is a set
		out = binary.AppendUvarint(out, uint64(len(parts)))
		for _, part := range parts {
			out = appendCounted(out, part)
		}
	}
	return string(out), true
}

func canonicalAttribute(rdn *cryptobyte.String) (string, bool) {
	var attribute, oid, value, element cryptobyte.String
	var tag asn1.Tag
	if !rdn.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return "", false
	}
	element = attribute
	if !attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
		return "", false
	}
	out := appendCounted(nil, string(oid))
	text, ok := decodeString(tag, value)
	switch {
	case !ok:
		out = append(append(out, 'x'), element...) // no string: the bytes as they are
	case string(oid) == oidEmailAddress:
		out = append(append(out, 's'), canonicalMail(text)...)
	default:
		out = append(append(out, 's'), canonicalText(text)...)
	}
	return string(out), true
}

// canonicalText folds letter case and squeezes white space (RFC 4518, Sections 2.2 and 2.6.1).
func canonicalText(s string) string {
	return strings.Map(foldRune, strings.Join(strings.Fields(s), " "))
}

// foldRune returns the least rune that r folds to.
func foldRune(r rune) rune {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least < 0x80 { // such as the Kelvin sign
		return foldRune(least)
	}
	return least
}

// canonicalMail leaves the local part alone (RFC 5280, Section 7.5).
func canonicalMail(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	return s[:at] + lowerASCII(s[at:])
}

// canonicalURI folds scheme and host (RFC 5280, Section 7.4).
func canonicalURI(s string) string {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return s
	}
	authority, path := rest, ""
	if host, found := strings.CutPrefix(rest, "//"); found {
		if end := strings.IndexAny(host, "/?#"); end >= 0 {
			authority, path = rest[:end+2], rest[end+2:]
		}
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			authority = authority[:at] + lowerASCII(authority[at:])
		} else {
			authority = lowerASCII(authority)
		}
	}
	return lowerASCII(scheme) + ":" + authority + path
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// canonicalAltNames returns the alternative names of an extension's value as a sorted set; none for no extension.
func canonicalAltNames(der []byte) ([]string, bool) {
	if der == nil {
		return nil, true
	}
	input := cryptobyte.String(der)
	var names cryptobyte.String
	if !input.ReadASN1(&names, asn1.SEQUENCE) || !input.Empty() {
		return nil, false
	}
	var out []string
	for !names.Empty() {
		var value cryptobyte.String
		var tag asn1.Tag
		if len(out) == maxAltNames || !names.ReadAnyASN1(&value, &tag) {
			return nil, false
		}
		name, ok := canonicalGeneralName(tag, value)
		if !ok {
			return nil, false
		}
		out = append(out, string([]byte{byte(tag)})+name)
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

// canonicalGeneralName knows the choices of RFC 5280, Section 4.2.1.6, that have a comparison of their own; the others
// are compared as bytes.
func canonicalGeneralName(tag asn1.Tag, value []byte) (string, bool) {
	switch tag {
	case asn1.Tag(1).ContextSpecific():
		return canonicalMail(string(value)), true
	case asn1.Tag(2).ContextSpecific():
		return lowerASCII(string(value)), true
	case asn1.Tag(4).ContextSpecific().Constructed():
		return canonicalName(value)
	case asn1.Tag(6).ContextSpecific():
		return canonicalURI(string(value)), true
	}
	return string(value), true
}

func appendCounted(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
