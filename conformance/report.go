package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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
}

// Result is one check's verdict.
type Result struct {
	ID       string  `json:"id"`
	Citation string  `json:"citation"`
	Level    Level   `json:"level"`
	Role     Role    `json:"role"`
	Verdict  Verdict `json:"verdict"`
	Reason   string  `json:"reason"` // why it failed or was skipped; printable, at most 400 runes; empty for pass
	Text     string  `json:"-"`      // the requirement
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

// Failed reports whether any check failed, whatever its level.
func (r *Report) Failed() bool {
	return r.Count(VerdictFail) > 0
}

// WriteJSON writes r as one JSON object and a newline.
func (r *Report) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(r)
}

// WriteTable writes r for people: a line a check, the reason below it where
// there is one, and the counts.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "VERDICT\tID\tLEVEL\tREQUIREMENT\n")
	for i := range r.Checks {
		c := &r.Checks[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.Verdict, c.ID, c.Level, c.Text)
		if c.Reason != "" {
			fmt.Fprintf(tw, "\t\t\t  %s\n", c.Reason)
		}
	}
	fmt.Fprintf(tw, "\n%s: %d passed, %d failed, %d skipped\n", printable(r.Target),
		r.Count(VerdictPass), r.Count(VerdictFail), r.Count(VerdictSkip))
	return tw.Flush()
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
