package est

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Redirect is a server's wish to have a request repeated elsewhere (RFC 7030, Section 3.2.1).
type Redirect struct {
	Operation Operation
	From, To  *url.URL // To has another origin
}

// redirectTo returns where res redirects to; empty for another answer.
func redirectTo(res *http.Response) string {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return res.Header.Get("Location")
	default:
		return ""
	}
}

// follow decides about a redirect. Within the origin it is followed; to another one only over a new TLS session, and a
// POST only when the caller agrees (RFC 7030, Section 3.2.1).
func (a *asking) follow(ctx context.Context, res *http.Response, location string) error {
	if a.redirects++; a.redirects > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrRedirect, maxRedirects)
	}
	to, err := a.to.Parse(location)
	if err != nil {
		return fmt.Errorf("%w: its Location %q is no URL", ErrRedirect, printable(location, 80))
	}
	if to.Scheme != "https" || to.Host == "" || to.User != nil {
		return fmt.Errorf("%w: %q is not https://HOST", ErrRedirect, printable(to.Redacted(), 80))
	}
	to.Fragment, to.RawFragment = "", ""
	posting := a.q.body != nil
	if posting && res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return fmt.Errorf("%w: the answer to a POST is to be got with GET (status %d)", ErrRedirect, res.StatusCode)
	}
	if sameOrigin(a.to, to) {
		a.to = to
		return nil
	}
	if a.c.HTTP != nil {
		return fmt.Errorf("%w: another origin, %q", ErrRedirect, printable(to.Host, 80))
	}
	consent := false
	if posting {
		consent = a.c.Redirect != nil && a.c.Redirect(ctx, &Redirect{Operation: a.q.op, From: a.to, To: to})
		if !consent {
			return fmt.Errorf("%w: another origin, %q, and nobody agreed to send the request there", ErrRedirect, printable(to.Host, 80))
		}
	}
	a.leave()
	a.to, a.away = to, true
	a.names = append(slices.Clip(a.names), to.Hostname())
	if a.auth, a.stale = nil, false; consent {
		a.auth = a.c.newAuth()
	}
	return nil
}

// sameOrigin compares two https URLs (RFC 6454, Section 5).
func sameOrigin(a, b *url.URL) bool { return strings.EqualFold(hostPort(a), hostPort(b)) }
