package voucher

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// wellKnownBRSKI is the path to assume where the extension gives none (RFC
// 8995, Section 2.3.2).
const wellKnownBRSKI = "/.well-known/brski"

// MASAURL returns the base URL of the MASA that an IDevID certificate names,
// without a slash at its end: operations are added to it as "/requestvoucher".
// Its scheme is always https. [ErrNoMASAURL] means that the certificate has no
// MASA URL extension, [ErrMASAURL] that it is not usable; see [ParseMASAURL].
func MASAURL(idevid *x509.Certificate) (string, error) {
	oid := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32} // id-pe-masa-url
	for _, extension := range idevid.Extensions {
		if extension.Id.Equal(oid) {
			return ParseMASAURL(extension.Value)
		}
	}
	return "", ErrNoMASAURL
}

// ParseMASAURL reads the value of the MASA URL extension, a DER IA5String of
// at most 1024 characters (RFC 8995, Section 2.3.2), and returns the base URL
// as [MASAURL] does. A value without a slash is an authority, to which
// "https://" and "/.well-known/brski" are added; the same path is assumed
// where a complete URL has none, a case that the text leaves open.
//
// Refused with [ErrMASAURL]: any scheme but https (the registrar has to use
// HTTPS whatever is named), user information, a query or fragment, dot
// segments, a host that is neither a DNS name nor an IP address.
func ParseMASAURL(value []byte) (string, error) {
	text, err := masaText(value)
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, "/") {
		text = "https://" + text + wellKnownBRSKI
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%w: %q is not a URL", ErrMASAURL, clip(text, 80))
	}
	switch {
	case u.Scheme != "https":
		return "", fmt.Errorf("%w: %q: https was expected", ErrMASAURL, clip(text, 80))
	case u.User != nil, strings.ContainsAny(text, "?#\\"):
		return "", fmt.Errorf("%w: %q: user information, query or fragment", ErrMASAURL, clip(text, 80))
	case !validHost(u):
		return "", fmt.Errorf("%w: %q: no valid host", ErrMASAURL, clip(text, 80))
	}
	escaped := strings.TrimSuffix(u.EscapedPath(), "/")
	if escaped == "" {
		escaped = wellKnownBRSKI
	}
	if unescaped, err := url.PathUnescape(escaped); err != nil || path.Clean(unescaped) != unescaped {
		return "", fmt.Errorf("%w: %q: path with dots or doubled slashes", ErrMASAURL, clip(text, 80))
	}
	return "https://" + strings.ToLower(u.Host) + escaped, nil
}

// masaText returns the IA5String: visible ASCII, as a URL has it.
func masaText(value []byte) (string, error) {
	const limit = 1024
	if len(value) > limit+4 {
		return "", fmt.Errorf("%w: %d bytes, the limit is %d", ErrMASAURL, len(value), limit)
	}
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(value, &raw)
	if err != nil || len(rest) > 0 || raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagIA5String || raw.IsCompound {
		return "", fmt.Errorf("%w: not an IA5String", ErrMASAURL)
	}
	text := string(raw.Bytes)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		return "", fmt.Errorf("%w: empty, or characters that no URL has", ErrMASAURL)
	}
	return text, nil
}

func validHost(u *url.URL) bool {
	if _, port, found := strings.Cut(strings.TrimPrefix(u.Host, "["+u.Hostname()+"]"), ":"); found {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isHostRune(r) }) {
			return false
		}
	}
	return true
}

func isHostRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}
