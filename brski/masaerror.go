package brski

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/est"
)

// ErrMASAUnavailable is wrapped by errors of a [MASA] that may pass when tried
// again: no connection, a timeout, a cut answer, 202, 408, 429 or 5xx.
var ErrMASAUnavailable = errors.New("the MASA cannot be reached now")

// MASAError is what a [MASAClient] returns for everything a MASA or the way to
// it did. It wraps [ErrMASAUnavailable] when the same request may succeed
// later, and the *est.Error that a registrar may pass on to its pledge: the
// MASA's 403, 404 and 406 as they are (RFC 8995, Section 5.6), 504 for a MASA
// that is not to be reached, 502 for every other failure.
type MASAError struct {
	Operation  Operation
	Status     int           // of the MASA's answer; 0 without one
	Message    string        // what the MASA said: printable ASCII, at most 300 bytes
	RetryAfter time.Duration // as the MASA asked, at most an hour; 0 for nothing said
	Err        error         // the cause; nil when Status and Message are all there is

	unavailable bool
}

// Error says what happened, for logs.
func (e *MASAError) Error() string {
	s := "MASA " + string(e.Operation)
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the *est.Error for the pledge, the cause, and [ErrMASAUnavailable] where it applies.
func (e *MASAError) Unwrap() []error {
	errs := []error{e.forPledge()}
	if e.unavailable {
		errs = append(errs, ErrMASAUnavailable)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// forPledge says truthfully downstream what failed upstream.
func (e *MASAError) forPledge() *est.Error {
	out := &est.Error{Section: "RFC 8995, Section 5.6", Reason: ReasonMASAAnswer, Status: http.StatusBadGateway}
	switch {
	case e.Status == http.StatusForbidden, e.Status == http.StatusNotFound, e.Status == http.StatusNotAcceptable:
		out.Status, out.Reason = e.Status, ReasonMASARefused
		out.Message = "The manufacturer's service (MASA) refused"
		if e.Message != "" {
			out.Message += ": " + e.Message
		}
	case e.unavailable && e.Status == 0:
		out.Status, out.Reason = http.StatusGatewayTimeout, ReasonMASAUnavailable
		out.Message = "The manufacturer's service (MASA) cannot be reached now. Try again later."
	case e.unavailable:
		out.Reason = ReasonMASAUnavailable
		out.Message = fmt.Sprintf("The manufacturer's service (MASA) answered %d. Try again later.", e.Status)
	default:
		out.Message = "The manufacturer's service (MASA) sent nothing that can be used. The registrar's log has the details."
	}
	return out
}
