package est

import (
	"fmt"
	"net/http"
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
	base := "https://" + u.Host + PathPrefix + "/"
	if label == "" {
		return u, base, nil
	}
	if !validLabel(label) {
		return nil, "", fmt.Errorf("%w: %q is no label; it has up to 64 letters, digits, '.', '_', ':' or '-' and is not an operation", ErrURL, label)
	}
	return u, base + label + "/", nil
}

// sameOrigin follows redirects to the origin of u, with the method kept (RFC 7030, Section 3.2.1). Another origin
// would need the user's consent and new checks, so it is an error.
func sameOrigin(u *url.URL) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > 5:
			return fmt.Errorf("%w: more than 5 redirects", ErrRedirect)
		case r.URL.Scheme != "https" || !strings.EqualFold(hostPort(r.URL), hostPort(u)):
			return fmt.Errorf("%w: another origin, %q", ErrRedirect, printable(r.URL.Host, 80))
		case r.Method != via[0].Method:
			return fmt.Errorf("%w: the answer to a %s is to be got with %s", ErrRedirect, via[0].Method, r.Method)
		}
		return nil
	}
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return u.Hostname() + ":" + port
}
