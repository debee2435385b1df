package voucher

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// decodeBase64 decodes without the leniency of encoding/base64, which skips
// line breaks and lets stray bits pass.
func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: line breaks", ErrBase64)
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: standard alphabet with padding was expected: %w", ErrBase64, err)
	}
	return value, nil
}

// parseDateTime is stricter than package time, which takes a comma, hours of
// one digit and any offset.
func parseDateTime(text string) (time.Time, error) {
	bad := fmt.Errorf("%w: %q", ErrDate, clip(text, 40))
	const shape = "0000-00-00T00:00:00"
	if len(text) > 64 || !digits(text, shape) {
		return time.Time{}, bad
	}
	zone := text[len(shape):]
	if strings.HasPrefix(zone, ".") {
		zone = strings.TrimLeft(zone[1:], "0123456789")
	}
	if zone != "Z" {
		offset := strings.TrimLeft(zone, "+-")
		if len(zone)-len(offset) != 1 || !digits(offset, "00:00") || len(offset) != 5 || offset[:2] > "23" || offset[3:] > "59" {
			return time.Time{}, bad
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, bad
	}
	return t, nil
}

// digits tells whether text begins like shape, in which 0 stands for any digit.
func digits(text, shape string) bool {
	if len(text) < len(shape) {
		return false
	}
	for i := range shape {
		isDigit := '0' <= text[i] && text[i] <= '9'
		if shape[i] == '0' && !isDigit || shape[i] != '0' && text[i] != shape[i] {
			return false
		}
	}
	return true
}

// checkSerialNumber checks the leaf and the attribute of a certificate alike:
// they are compared with each other, kept in stores and shown to people.
func checkSerialNumber(serial string) error {
	const limit = 256 // RFC 5280, Appendix A.1 has 64 for an attribute; the leaf has no limit
	switch {
	case serial == "":
		return fmt.Errorf("%w: empty", ErrLeafValue)
	case len(serial) > limit:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrLeafValue, len(serial), limit)
	case !printable(serial):
		return fmt.Errorf("%w: control characters", ErrLeafValue)
	}
	return nil
}

// checkExtension checks a whole leaf name. rfc8366bis, Section 12.5 bounds the
// name by 40 characters.
func checkExtension(leaf string) error {
	name := strings.TrimPrefix(leaf, extensionPrefix)
	if name == leaf || name == "" || utf8.RuneCountInString(name) > 40 || !printable(name) {
		return fmt.Errorf("%w: %q is no extension name of 1 to 40 characters", ErrLeafValue, clip(name, 64))
	}
	return nil
}

// checkHash checks a SHA-256 that is there.
func checkHash(value []byte) error {
	if len(value) != 0 && len(value) != sha256.Size {
		return fmt.Errorf("%w: %d bytes, SHA-256 has %d", ErrLeafValue, len(value), sha256.Size)
	}
	return nil
}

// checkURI checks the YANG type uri (rfc8366bis, Section 8.4).
func checkURI(value string) error {
	const limit = 2048
	if len(value) > limit {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrLeafValue, len(value), limit)
	}
	if u, err := url.Parse(value); err != nil || !u.IsAbs() {
		return fmt.Errorf("%w: not a URI", ErrLeafValue)
	}
	return nil
}

// printable tells whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || 0x7f <= r && r <= 0x9f
	})
}
