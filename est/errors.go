package est

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Error returns the reason id, the message and the cause. It is for logs; the peer gets Message alone.
func (e *Error) Error() string {
	s := e.Message
	if e.Reason != "" {
		s = e.Reason + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WriteError stub.
func WriteError(w http.ResponseWriter, r *http.Request, realm string, e *Error) {
	http.Error(w, e.Message, e.Status)
}

// ErrPending is matched by the error of a client whose request waits for a decision (RFC 7030, Section 4.2.3).
var ErrPending = errors.New("the server has not decided yet")

// PendingError is a 202 answer.
type PendingError struct {
	RetryAfter time.Duration
}

func (e *PendingError) Error() string { return ErrPending.Error() }

// Is reports whether target is [ErrPending].
func (e *PendingError) Is(target error) bool { return target == ErrPending }

// StatusError is a refusal.
type StatusError struct {
	Operation  Operation
	Status     int
	Message    string
	RetryAfter time.Duration
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: %d %s", e.Operation, e.Status, e.Message) }
