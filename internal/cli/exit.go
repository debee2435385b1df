// Package cli holds what our programs tell people alike: exit codes, hints and
// the printing of lists.
package cli

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// The exit codes of every program of ours.
const (
	ExitDone     = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitRefused  = 3 // the peer refused
	ExitPending  = 4 // the peer has not decided; Retry-After is printed
	ExitNotFound = 5
	// ExitUnreachable is for an EST server that cannot be connected to, does not answer in time, or says that it cannot now.
	ExitUnreachable = 6
)

// Error is an error with an exit code and a hint about what to do next.
type Error struct {
	Code int
	Err  error
	Hint string // may be empty
}

// Error returns what happened.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Usage is an error of the command line's user.
func Usage(format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// NotFound says that what was asked for is not there.
func NotFound(format string, args ...any) error {
	return &Error{Code: ExitNotFound, Err: fmt.Errorf(format, args...)}
}

// Refused wraps a peer's refusal.
func Refused(err error) error { return &Error{Code: ExitRefused, Err: err} }

// Unreachable wraps the error of a connection that could not be made, or on which no answer came.
func Unreachable(err error) error { return &Error{Code: ExitUnreachable, Err: err} }

// Pending says that the peer wants to be asked again after the given time.
func Pending(what string, retryAfter time.Duration) error {
	return &Error{Code: ExitPending, Err: fmt.Errorf("%s: pending, Retry-After: %d", what, int(retryAfter.Seconds()))}
}

// Hint adds what to do next to err; nil stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	hinted := &Error{Code: Code(err), Err: err, Hint: fmt.Sprintf(format, args...)}
	return hinted
}

// Code returns the exit code for err: 0 for nil, 1 for an error that says nothing else.
func Code(err error) int {
	if err == nil {
		return ExitDone
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ExitFailed
}

// Report prints err for a person, with its hint, and returns the exit code.
func Report(w io.Writer, program string, err error) int {
	if err == nil {
		return ExitDone
	}
	fmt.Fprintf(w, "%s: %v\n", program, err)
	var e *Error
	for cause := err; errors.As(cause, &e); cause = e.Err {
		if e.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", e.Hint)
			break
		}
	}
	return Code(err)
}
