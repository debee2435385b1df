package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
)

// Run asks t each check in turn, within t.Timeout each, and returns what came
// of it. A check that runs out of time has failed; those that ctx did not
// leave time for are skipped. The checks share one key, because a server may
// refuse to certify a second one for the same name. The error is that of
// [Target.Check].
func Run(ctx context.Context, t *Target, checks []Check) (*Report, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	t, err := withKey(t)
	if err != nil {
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

// withKey returns t, or a copy with a new key when it has none.
func withKey(t *Target) (*Target, error) {
	if t.Key != nil {
		return t, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key for the run: %w", err)
	}
	keyed := *t
	keyed.Key = key
	return &keyed, nil
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
