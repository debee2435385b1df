package estca

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/est"
)

// refusal maps a status as EST means it. 401 is a challenge that our credential
// does not answer (RFC 7030, Section 3.2.3). 403 refuses what is asked for with
// a credential that is good, unless a server of ours says that it is not.
// 404 and 405 are no EST server, or a label it does not have (RFC 7030, Section
// 3.2.2). What says nothing of the request, as 503, leaves it open; every other
// 4xx refuses it (RFC 7030, Section 4.2.3).
func (c *CA) refusal(e *est.StatusError) error {
	said := fmt.Errorf("the EST server answered %d %q", e.Status, c.secrets.Sentence(e.Message))
	switch e.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: %w: %w", ca.ErrUnavailable, errCredential, said)
	case http.StatusForbidden:
		if aboutUs(e.Message) {
			return fmt.Errorf("%w: %w: %w", ca.ErrUnavailable, errCredential, said)
		}
		return fmt.Errorf("%w: %w", ca.ErrRejected, said)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fmt.Errorf("%w: %w; check the issuer's URL and label", ca.ErrUnavailable, said)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return later(said, e.RetryAfter)
	}
	switch {
	case e.Status >= 500:
		return later(said, e.RetryAfter)
	case e.Status >= 400:
		return fmt.Errorf("%w: %w", ca.ErrRejected, said)
	default: // another success than 200 and 202, or a redirect that goes nowhere
		return delegate.Lost(said)
	}
}

func later(said error, after time.Duration) error {
	return &ca.Later{Err: fmt.Errorf("%w: %w", ca.ErrUnavailable, said), After: min(after, delegate.MaxAfter)}
}

// aboutUs knows the reason ids by which a server of ours says in a 403 that it
// is our credential that it does not take.
func aboutUs(message string) bool {
	_, rest, found := strings.Cut(message, "reason: ")
	if !found {
		return false
	}
	id, _, _ := strings.Cut(rest, ",")
	return slices.Contains([]string{
		"no-client-certificate", "certificate-untrusted", "certificate-expired", "certificate-not-on-record", "certificate-revoked",
		"certificate-on-hold", "certificate-superseded", "revocation-unknown", "authentication-not-allowed",
	}, strings.TrimSpace(id))
}
