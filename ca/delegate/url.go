package delegate

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ParseURL reads the URL of another CA: one of schemes, a host, and no more than
// a path. The path is one of paths, with or without a final slash; none stand
// for any. An error says what to do and never repeats the URL, which may hold a
// password.
func ParseURL(text string, schemes, paths []string) (*url.URL, error) {
	u, err := url.Parse(text)
	example := schemes[0] + "://HOST or " + schemes[0] + "://HOST:PORT"
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("the URL cannot be read: it must be %s", example)
	case u.User != nil:
		return nil, errors.New("the URL has a user or a password in it, which would be logged and recorded: take it out, change the password, and name its file in the setting that is for it")
	case !slices.Contains(schemes, u.Scheme) && u.Scheme == "http":
		return nil, fmt.Errorf("the URL begins with http://, so that everybody on the way reads and changes what is said: write https:// (%s), and give the CA a TLS certificate if it has none", example)
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("the URL has the scheme %.20q: it must be %s", u.Scheme, example)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("the URL has a query or a fragment (? or #): take it out, it must be %s", example)
	case len(paths) > 0 && !slices.Contains(paths, strings.TrimRight(u.Path, "/")):
		return nil, fmt.Errorf("the URL has the path %.100q: it must be %s", u.Path, strings.TrimSpace(example+" "+orPath(paths)))
	}
	return u, nil
}

// orPath says which paths may follow.
func orPath(paths []string) string {
	for _, path := range paths {
		if path != "" {
			return "or that with " + path
		}
	}
	return ""
}
