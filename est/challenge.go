package est

import (
	"math"
	"net/http"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// scanChallenge reads one of the attributes of RFC 7894 into field.
func scanChallenge(field *string, values cryptobyte.String, section, name string) *Error {
	if readChallenge(field, values) {
		return nil
	}
	return refuse(http.StatusBadRequest, ReasonCSRChallenge, section,
		"The CSR has more than one "+name+", or one that is not a string of 1 to 255 characters. Send it once.")
}

// readChallenge reads the one value of an attribute into field, which must have none yet: any choice of DirectoryString
// (RFC 5280, Section 4.1.2.4), because clients are seen to send PrintableString and UTF8String.
func readChallenge(field *string, values cryptobyte.String) bool {
	var value cryptobyte.String
	var tag asn1.Tag
	if *field != "" || !values.ReadAnyASN1(&value, &tag) || !values.Empty() {
		return false
	}
	s, ok := decodeString(tag, value)
	if !ok || s == "" || utf8.RuneCountInString(s) > maxChallenge {
		return false
	}
	*field = s
	return true
}

// Tags that cryptobyte does not name.
const (
	tagUniversalString = asn1.Tag(28)
	tagBMPString       = asn1.Tag(30)
)

// decodeString returns the text of a character string, ok false when tag is none or the bytes do not fit it. A
// TeletexString is read as Latin-1, as everybody writes it.
func decodeString(tag asn1.Tag, b []byte) (string, bool) {
	switch tag {
	case asn1.UTF8String:
		return string(b), utf8.Valid(b)
	case asn1.PrintableString, asn1.IA5String, asn1.Tag(18), asn1.Tag(26): // also NumericString and VisibleString
		for _, c := range b {
			if c > 0x7f {
				return "", false
			}
		}
		return string(b), true
	case asn1.T61String:
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return string(runes), true
	case tagBMPString:
		if len(b)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(b)/2)
		for ; len(b) > 0; b = b[2:] {
			units = append(units, uint16(b[0])<<8|uint16(b[1]))
		}
		return string(utf16.Decode(units)), true
	case tagUniversalString:
		return decodeUniversal(b)
	}
	return "", false
}

func decodeUniversal(b []byte) (string, bool) {
	if len(b)%4 != 0 {
		return "", false
	}
	runes := make([]rune, 0, len(b)/4)
	for ; len(b) > 0; b = b[4:] {
		r := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if r > math.MaxInt32 || !utf8.ValidRune(rune(r)) {
			return "", false
		}
		runes = append(runes, rune(r))
	}
	return string(runes), true
}
