package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Verdict is what came of a check.
type Verdict string

// The verdicts.
const (
	VerdictPass Verdict = "pass"
	VerdictFail Verdict = "fail"
	VerdictSkip Verdict = "skip" // nothing can be said; the reason says what is missing
)

// Report is what came of a run.
type Report struct {
	Target string   `json:"target"`
	Checks []Result `json:"checks"` // in the order they were asked
	Left   []string `json:"-"`      // what the run left on the target, named
	Stale  []string `json:"-"`      // IDs of checks that an exclusion names and that pass
}

// Result is one check's verdict.
type Result struct {
	ID           string        `json:"id"`
	Citation     string        `json:"citation"`
	Level        Level         `json:"level"`
	Role         Role          `json:"role"`
	Verdict      Verdict       `json:"verdict"`
	Reason       string        `json:"reason"` // why it failed or was skipped; printable, at most 400 runes; empty for pass
	Requirements []string      `json:"requirements"`
	Text         string        `json:"-"` // the requirement
	Excluded     bool          `json:"-"` // the verdict is expected of this peer; Reason begins with why
	Exchanges    []Exchange    `json:"-"` // what was sent and what came
	Took         time.Duration `json:"-"`
}

// Count returns how many checks have the verdict v.
func (r *Report) Count(v Verdict) int {
	n := 0
	for i := range r.Checks {
		if r.Checks[i].Verdict == v {
			n++
		}
	}
	return n
}

// Failed returns how many checks of the level failed that nobody expects to.
func (r *Report) Failed(l Level) int {
	n := 0
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Verdict == VerdictFail && c.Level == l && !c.Excluded {
			n++
		}
	}
	return n
}

// The exit codes of the commands that run checks.
const (
	ExitPassed      = 0 // no MUST failed
	ExitMust        = 1 // a MUST failed
	ExitUsage       = 2
	ExitShould      = 3 // asked to be strict, a SHOULD failed
	ExitUnreachable = 4 // the target cannot be reached
)

// ExitCode returns 0, 1 or 3.
func (r *Report) ExitCode(strict bool) int {
	switch {
	case r.Failed(Must) > 0:
		return ExitMust
	case strict && r.Failed(Should) > 0:
		return ExitShould
	default:
		return ExitPassed
	}
}

// Formats returns the names that [Report.Write] knows.
func Formats() []string { return []string{"table", "json", "junit", "html"} }

// Write writes r in the format of that name.
func (r *Report) Write(w io.Writer, format string) error {
	switch format {
	case "table":
		return r.writeTable(w)
	case "json":
		return json.NewEncoder(w).Encode(r)
	case "junit":
		return r.writeJUnit(w)
	case "html":
		return r.writeHTML(w)
	default:
		return fmt.Errorf("no report is called %q; want one of %s", format, strings.Join(Formats(), ", "))
	}
}

// Summary is the counts in one line.
func (r *Report) Summary() string {
	excluded := 0
	for i := range r.Checks {
		if r.Checks[i].Excluded {
			excluded++
		}
	}
	s := fmt.Sprintf("%d checks: %d passed, %d failed (%d MUST, %d SHOULD), %d skipped", len(r.Checks), r.Count(VerdictPass),
		r.Count(VerdictFail), r.Failed(Must), r.Failed(Should), r.Count(VerdictSkip))
	if excluded > 0 {
		s += fmt.Sprintf("; %d of these were expected of this peer and are not counted as MUST or SHOULD", excluded)
	}
	return s
}

// writeTable writes r for people: a line a check, the reason below it where
// there is one, what was left on the target, and the counts.
func (r *Report) writeTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "VERDICT\tID\tLEVEL\tREQUIREMENT\n")
	for i := range r.Checks {
		c := &r.Checks[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.Verdict, c.ID, c.Level, c.Text)
		if c.Reason != "" {
			fmt.Fprintf(tw, "\t\t\t  %s\n", c.Reason)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return r.WriteEnd(w)
}

// WriteEnd writes what was left on the target, exclusions that are not needed
// any more, and the counts.
func (r *Report) WriteEnd(w io.Writer) error {
	var b strings.Builder
	if len(r.Left) > 0 {
		fmt.Fprintf(&b, "\nLeft on the target:\n")
		for _, l := range r.Left {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	for _, id := range r.Stale {
		fmt.Fprintf(&b, "\n%s passes: its exclusion is not needed\n", id)
	}
	fmt.Fprintf(&b, "\n%s: %s\n", printable(r.Target), r.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// maxReason is how many runes of a reason are kept: the target has a hand in it.
const maxReason = 400

// printable makes what a peer may have written safe for a terminal: one line,
// nothing that is not printable, at most maxReason runes.
func printable(s string) string {
	runes := []rune(strings.ToValidUTF8(s[:min(len(s), 4*maxReason)], "?"))
	if len(runes) > maxReason {
		runes = append(runes[:maxReason-3], []rune("...")...)
	}
	for i, c := range runes {
		switch {
		case unicode.IsSpace(c):
			runes[i] = ' '
		case !unicode.IsPrint(c):
			runes[i] = '?'
		}
	}
	return string(runes)
}
