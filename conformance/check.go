package conformance

import (
	"context"
	"errors"
	"fmt"
)

// Role is who a check is about.
type Role string

// The roles.
const (
	ESTServer Role = "est"
	Registrar Role = "registrar"
	MASA      Role = "masa"
	Pledge    Role = "pledge"
	ESTClient Role = "est-client"
)

// Level is how strongly the RFC asks (RFC 2119, Sections 1 to 5).
type Level string

// The levels. What an RFC says MUST NOT or SHOULD NOT be is asked for as strongly.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Check is one requirement of an RFC and how to ask a target of type T about it.
type Check[T any] struct {
	// ID names the RFC, the section and a number within it, such as
	// "RFC7030-4.1.3-1". It never changes and is never given to another check.
	ID       string
	Citation string // such as "RFC 7030, Section 4.1.3"
	Text     string // the requirement in one sentence, in our words
	Role     Role
	Level    Level
	// Requirements are the rows of the lists of requirements that the check
	// covers, such as "EST-7030-4.1.3-01"; at least one.
	Requirements []string
	// Run asks the target. It returns nil when the requirement is met, an
	// error made by [Skip] when nothing can be said about it, and any other
	// error, whose text says what was asked, what came and what was wanted,
	// when it is not. It ends when ctx does.
	Run func(ctx context.Context, target T) error
}

// Meta is a check without the way to ask.
type Meta struct {
	ID, Citation, Text string
	Role               Role
	Level              Level
	Requirements       []string
}

// Meta returns what the check is about.
func (c *Check[T]) Meta() Meta {
	return Meta{c.ID, c.Citation, c.Text, c.Role, c.Level, c.Requirements}
}

// Metas returns what each of the checks is about.
func Metas[T any](checks []Check[T]) []Meta {
	metas := make([]Meta, len(checks))
	for i := range checks {
		metas[i] = checks[i].Meta()
	}
	return metas
}

// SkipError says why a check cannot be judged.
type SkipError struct {
	Reason string
}

// Error returns the reason.
func (e *SkipError) Error() string { return e.Reason }

// Skip returns a [SkipError], formatted as by [fmt.Sprintf]: what is missing,
// and what to do about it. A check skips where a verdict would say nothing
// about its requirement, so that a target cannot pass by refusing everything.
func Skip(format string, args ...any) error {
	return &SkipError{Reason: fmt.Sprintf(format, args...)}
}

// IsSkip reports whether err was made by [Skip], or wraps such an error.
func IsSkip(err error) bool {
	var skip *SkipError
	return errors.As(err, &skip)
}
