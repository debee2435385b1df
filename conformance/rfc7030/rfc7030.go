// Package rfc7030 holds the conformance checks of RFC 7030, Enrollment over
// Secure Transport: a file per section, one check per requirement. Start with
// [Checks].
package rfc7030

import (
	"context"
	"net/http"
	"net/url"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

// Checks returns the checks of an EST server, in the order of the sections.
// Each stands alone: it gets the certificates it needs from the target.
func Checks() []conformance.Check {
	return []conformance.Check{
		checkUnknownOperation(),
		checkWrongMethod(),
		checkChallenge(),
		checkRequestMediaType(),
		checkCACertsForEverybody(),
		checkCACertsStatus(),
		checkCACertsMediaType(),
		checkCACertsBody(),
		checkCACertsRoot(),
		checkReenrollNames(),
		checkEnrollAnswer(),
		checkGarbageCSR(),
		checkCSRAttrs(),
	}
}

// Media types (RFC 7030, Section 3.2.4).
const (
	typePKCS7    = "application/pkcs7-mime"
	typePKCS10   = "application/pkcs10"
	typeCSRAttrs = "application/csrattrs"
)

// path returns the path of an operation (RFC 7030, Section 3.2.2).
func path(t *conformance.Target, op est.Operation) string {
	p := "/.well-known/est/"
	if t.Label != "" {
		p += url.PathEscape(t.Label) + "/"
	}
	return p + string(op)
}

// get asks for an operation without a request body.
func get(ctx context.Context, t *conformance.Target, op est.Operation, as conformance.Credentials) (*conformance.Answer, error) {
	return t.Do(ctx, &conformance.Request{Method: http.MethodGet, Path: path(t, op), As: as})
}

// needCredentials skips a check that has to be authenticated to say anything.
func needCredentials(t *conformance.Target) error {
	if t.Password == "" && t.Certificate == nil {
		return conformance.Skip("the target has no credentials to enroll with; give a user and password, or a client certificate")
	}
	return nil
}

// turnedAway skips a check when the server did not get as far as looking at
// the request, because it refused the credentials or puts off the decision.
func turnedAway(a *conformance.Answer) error {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return conformance.Skip("%v: the credentials are refused, so the request itself was not judged", a)
	case http.StatusAccepted:
		return conformance.Skip("%v: the server has not decided; approve such requests at once for a test", a)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return conformance.Skip("%v: the server is busy; raise its limits for a test", a)
	default:
		return nil
	}
}
