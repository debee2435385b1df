package brski

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
)

// Redirect is the error with which [RegistrarBackend.RequestVoucher] sends a
// pledge to the registrar of its owner, by 307
// (draft-ietf-anima-brski-cloud-20, Section 3.2.2; RFC 8995, Section 5.6).
type Redirect struct {
	// URL is where that registrar is, https://HOST[:PORT] as [CheckRegistrarURL]
	// takes it. The operation's path is added.
	URL string
}

// Error says where to.
func (r *Redirect) Error() string { return "the device is sent to " + r.URL }

// location is the absolute URI of the operation at the other registrar.
func (r *Redirect) location(op Operation) (string, error) {
	u, err := CheckRegistrarURL(r.URL)
	if err != nil {
		return "", err
	}
	return u.JoinPath(PathPrefix, string(op)).String(), nil
}

// CheckRegistrarURL reads the address of a registrar that devices may be sent
// to: https://HOST[:PORT] and nothing more. User names, queries, fragments and
// paths are refused: a device that follows a redirect does not look at them, or
// should not.
func CheckRegistrarURL(text string) (*url.URL, error) {
	const limit = 2048
	if len(text) > limit {
		return nil, fmt.Errorf("a URL of %d bytes, at most %d are taken", len(text), limit)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the URL %.100q cannot be read", text)
	}
	plain := u.Scheme == "https" && u.Hostname() != "" && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && !u.ForceQuery
	if !plain || u.User != nil || u.Fragment != "" || u.Opaque != "" || (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String() != text {
		return nil, fmt.Errorf("the URL %.100q is not https://HOST[:PORT], without user, path, query and fragment", text)
	}
	return u, nil
}

// redirect answers err if it is a Redirect.
func (x *exchange) redirect(ctx context.Context, err error) bool {
	var to *Redirect
	if !errors.As(err, &to) {
		return false
	}
	where, bad := to.location(x.call.Operation)
	if bad != nil {
		x.refuse(ctx, bad)
		return true
	}
	x.log.InfoContext(ctx, "device redirected", slog.String("request", x.call.ID), slog.String("operation", string(x.call.Operation)),
		slog.Any("peer", x.call.Peer), slog.String("location", where))
	h := x.w.Header()
	h.Set("Location", where)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}
