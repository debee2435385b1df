package conformance

import (
	"context"
	"errors"
	"fmt"
)

// Run asks t each check in turn, within t.Timeout each, and returns what came
// of it. A check that runs out of time has failed; those that ctx did not
// leave time for are skipped. The error is that of [Target.Check].
func Run(ctx context.Context, t *Target, checks []Check) (*Report, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	r := &Report{Target: t.URL, Checks: make([]Result, 0, len(checks))}
	for i := range checks {
		c := &checks[i]
		result := Result{ID: c.ID, Citation: c.Citation, Level: c.Level, Role: c.Role, Text: c.Text}
		result.Verdict, result.Reason = judge(ctx, t, c)
		r.Checks = append(r.Checks, result)
	}
	return r, nil
}

// judge runs one check and turns its error into a verdict.
func judge(ctx context.Context, t *Target, c *Check) (Verdict, string) {
	if ctx.Err() != nil {
		return VerdictSkip, "the run was stopped before this check"
	}
	limited, cancel := context.WithTimeout(ctx, t.timeout())
	defer cancel()
	err := c.Run(limited, t)
	switch {
	case ctx.Err() != nil:
		return VerdictSkip, "the run was stopped during this check"
	case err == nil:
		return VerdictPass, ""
	case isSkip(err):
		return VerdictSkip, printable(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return VerdictFail, printable(fmt.Sprintf("no answer within %v: %v", t.timeout(), err))
	default:
		return VerdictFail, printable(err.Error())
	}
}
