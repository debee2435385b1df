package profile

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// specialCharacters separate or quote in the string forms of names
// (RFC 4514, Section 2.4; "/" in OpenSSL's) or match many ("*"). Somebody downstream who
// reads a name as text would read more in it than was decided.
const specialCharacters = "*/,+;=#<>\"\\"

// cleanText says whether text is valid UTF-8 of visible characters and single
// inner spaces: no control or format characters (NUL, line ends, changes of
// writing direction), no private or unassigned ones, no space at either end.
func cleanText(text string) bool {
	if text == "" || !utf8.ValidString(text) || strings.TrimSpace(text) != text {
		return false
	}
	for _, r := range text {
		if r == utf8.RuneError || (r != ' ' && !unicode.IsGraphic(r)) || (unicode.IsSpace(r) && r != ' ') {
			return false
		}
	}
	return true
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// isPrintable says whether text fits a PrintableString (X.680, Section 41.4).
func isPrintable(text string) bool {
	for _, r := range text {
		if !isAlphanumeric(r) && !strings.ContainsRune(" '()+,-./:=?", r) {
			return false
		}
	}
	return true
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validDNS says whether name is a host name in the preferred syntax
// (RFC 5280, Section 4.2.1.6; RFC 1123, Section 2.1): no wildcard, no final dot, no
// address in disguise.
func validDNS(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, r := range label {
		if !isAlphanumeric(r) && r != '-' {
			return false
		}
	}
	return true
}

// validEmail says whether address is a Mailbox with a dot-atom before the "@"
// (RFC 5280, Section 4.2.1.6).
func validEmail(address string) bool {
	local, host, ok := strings.Cut(address, "@")
	if !ok || len(local) > 64 || len(address) > 254 || !validDNS(host) {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			if !isAlphanumeric(r) && !strings.ContainsRune("-_+", r) {
				return false
			}
		}
	}
	return true
}

// validACP says whether name is an acp-node-name (RFC 8994, Section 6.2.2):
// [32HEXDIG or 0]["+" rsub extensions]"@"domain.
func validACP(name string) bool {
	local, domain, ok := strings.Cut(name, "@")
	if !ok || len(name) > 255 || len(local) > 64 || !validDNS(domain) {
		return false
	}
	parts := strings.Split(local, "+")
	switch address := parts[0]; {
	case address == "" || address == "0":
	case len(address) != 32 || strings.Trim(address, "0123456789abcdef") != "":
		return false
	}
	if len(parts) == 1 {
		return parts[0] != ""
	}
	if rsub := parts[1]; rsub != "" && !validDNS(rsub) {
		return false
	}
	for _, extension := range parts[2:] {
		if extension == "" || strings.ContainsFunc(extension, func(r rune) bool {
			return !isAlphanumeric(r) && !strings.ContainsRune("-_.~", r)
		}) {
			return false
		}
	}
	return true
}

// hostIsIP says whether a URL's host is an address.
func hostIsIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
