package est

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// clientBase checks where to ask. EST is served over TLS only (RFC 7030, Section 3.3).
func clientBase(raw, label string) (*url.URL, string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrURL, err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", fmt.Errorf("%w: want https://HOST[:PORT], got %q", ErrURL, u.Redacted())
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	inURL, found := strings.CutPrefix(path, PathPrefix)
	switch {
	case path == "" || (found && inURL == ""):
	case found && inURL[0] == '/' && label == "":
		label = inURL[1:]
	default:
		return nil, "", fmt.Errorf("%w: its path %q is not %s", ErrURL, path, PathPrefix)
	}
	base := (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + PathPrefix + "/" // a zone stays escaped (RFC 6874, Section 2)
	if label == "" {
		return u, base, nil
	}
	if !validLabel(label) {
		return nil, "", fmt.Errorf("%w: %q is no label; it has up to 64 letters, digits, '.', '_', ':' or '-' and is not an operation", ErrURL, label)
	}
	return u, base + label + "/", nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
