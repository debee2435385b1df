package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits of a run whose [Options] leave them out.
const (
	DefaultTimeout  = 10 * time.Second // for one check
	DefaultDeadline = 5 * time.Minute  // for the run
)

// Options of a run. The zero value is good.
type Options struct {
	Target     string        // how the report names the target, such as its URL
	Timeout    time.Duration // for one check; 0 means DefaultTimeout
	Deadline   time.Duration // for all of them; 0 means DefaultDeadline
	Raw        bool          // keep the raw exchanges
	Exclusions *Exclusions   // what is expected of this peer; nil for nothing
	Progress   func(*Result) // called after each check; nil for nothing
}

// Run asks the target each check in turn and returns what came of it. A check
// that runs out of time has failed; those that ctx or the deadline leave no
// time for are skipped. Run returns soon after the deadline even when a check
// does not heed its context.
func Run[T any](ctx context.Context, target T, checks []Check[T], o *Options) *Report {
	deadline := o.Deadline
	if deadline == 0 {
		deadline = DefaultDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	r := &Report{Target: o.Target, Checks: make([]Result, 0, len(checks))}
	for i := range checks {
		result, left := ask(ctx, target, &checks[i], o)
		o.Exclusions.apply(&result, r)
		r.Checks = append(r.Checks, result)
		for _, l := range left {
			if !slices.Contains(r.Left, l) {
				r.Left = append(r.Left, l)
			}
		}
		if o.Progress != nil {
			o.Progress(&result)
		}
	}
	return r
}

// Select returns the checks that only names: IDs, beginnings of IDs that end at
// a "-" or ".", or citations' beginnings such as "RFC 8951". No names: all. The
// error names one that selects nothing.
func Select[T any](checks []Check[T], only []string) ([]Check[T], error) {
	if len(only) == 0 {
		return checks, nil
	}
	chosen := make([]bool, len(checks))
	for _, name := range only {
		found := false
		for i := range checks {
			if checks[i].named(name) {
				chosen[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no check is called %q; --list shows them all", name)
		}
	}
	var selected []Check[T]
	for i := range checks {
		if chosen[i] {
			selected = append(selected, checks[i])
		}
	}
	return selected, nil
}

func (c *Check[T]) named(name string) bool {
	begins := func(whole string) bool {
		return len(name) < len(whole) && whole[:len(name)] == name && slices.Contains([]byte("-.,"), whole[len(name)])
	}
	return name == c.ID || name == c.Citation || begins(c.ID) || begins(c.Citation)
}

// ask runs one check.
func ask[T any](ctx context.Context, target T, c *Check[T], o *Options) (Result, []string) {
	result := Result{
		ID: c.ID, Citation: c.Citation, Level: c.Level, Role: c.Role, Text: c.Text, Requirements: c.Requirements,
		Verdict: VerdictSkip,
	}
	if over(ctx) {
		result.Reason = "the run was stopped before this check"
		return result, nil
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	recorder := &Recorder{raw: o.Raw}
	begun := time.Now()
	err := within(context.WithValue(ctx, recorderKey{}, recorder), timeout, target, c)
	result.Took = time.Since(begun)
	var left []string
	result.Exchanges, left = recorder.taken()
	switch {
	case over(ctx):
		result.Reason = "the run was stopped during this check"
	case err == nil:
		result.Verdict = VerdictPass
	case IsSkip(err):
		result.Reason = printable(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		result.Verdict, result.Reason = VerdictFail, printable(fmt.Sprintf("no answer within %v: %v", timeout, err))
	default:
		result.Verdict, result.Reason = VerdictFail, printable(err.Error())
	}
	return result, left
}

// over tells whether the run has ended. A connection's deadline does not wait for the
// context's timer, which comes late on a machine under load.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// grace is how long a check may take to notice that its time is over.
const grace = time.Second

// within runs the check and leaves it behind when it does not end in time.
func within[T any](ctx context.Context, timeout time.Duration, target T, c *Check[T]) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- Skip("a fault of the suite, please report it: %v", p)
			}
		}()
		done <- c.Run(ctx, target)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return ctx.Err()
	}
}
