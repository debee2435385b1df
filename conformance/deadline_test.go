package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
)

// late is a context whose time is over and whose timer has not fired yet, as on a
// machine under load: connections that heed the deadline fail at once, and
// nothing says that the run has ended.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Unix(0, 0), true }

func TestAfterTheDeadlineNoCheckFails(t *testing.T) {
	dials := check(func(context.Context, nothing) error { return errors.New("dial tcp: i/o timeout") })
	report := conformance.Run(late{t.Context()}, nothing{}, []conformance.Check[nothing]{dials}, new(conformance.Options))
	if got := report.Checks[0]; got.Verdict != conformance.VerdictSkip || !strings.Contains(got.Reason, "stopped") {
		t.Errorf("a check that is asked after the deadline: %s, %q, want that the run was stopped", got.Verdict, got.Reason)
	}
}
