package conformance

import (
	"context"
	"errors"
	"fmt"
)

// Role is who a check is about.
type Role string

// The roles there are checks for.
const (
	RoleESTServer Role = "est-server"
)

// Level is how strongly the RFC asks (RFC 2119, Sections 1 to 5).
type Level string

// The levels.
const (
	Must      Level = "MUST"
	MustNot   Level = "MUST NOT"
	Should    Level = "SHOULD"
	ShouldNot Level = "SHOULD NOT"
	May       Level = "MAY"
)

// Check is one requirement of an RFC and how to ask a target about it.
type Check struct {
	// ID names the RFC, the section and a number within it, such as
	// "RFC7030-4.1.3-1". It never changes and is never given to another check.
	ID       string
	Citation string // such as "RFC 7030, Section 4.1.3"
	Text     string // the requirement in one sentence, in our words
	Role     Role
	Level    Level
	// Run asks the target. It returns nil when the requirement is met, an
	// error made by [Skip] when nothing can be said about it, and any other
	// error, whose text says what was asked, what came and what was wanted,
	// when it is not. It ends when ctx does.
	Run func(ctx context.Context, t *Target) error
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

func isSkip(err error) bool {
	var skip *SkipError
	return errors.As(err, &skip)
}
