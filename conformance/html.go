package conformance

import (
	_ "embed" // for the page
	"html/template"
	"io"
	"strings"
	"unicode"
)

//go:embed report.html
var page string

// section is the checks of one citation, in the page.
type section struct {
	Citation string
	Checks   []*Result
	Bad      int // failures
}

// writeHTML writes r as one page that needs nothing else: no script, no style
// sheet and no font from elsewhere.
func (r *Report) writeHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{"raw": rawText, "anchor": anchor}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, map[string]any{
		"Target": printable(r.Target), "Summary": r.Summary(), "Sections": r.sections(), "Left": r.Left, "Stale": r.Stale,
		"Passed": r.Count(VerdictPass), "Failed": r.Count(VerdictFail), "Skipped": r.Count(VerdictSkip), "Failures": r.failures(),
	})
}

func (r *Report) failures() []*Result {
	var failed []*Result
	for i := range r.Checks {
		if r.Checks[i].Verdict == VerdictFail {
			failed = append(failed, &r.Checks[i])
		}
	}
	return failed
}

// sections groups the checks by citation, in the order they were asked.
func (r *Report) sections() []*section {
	var sections []*section
	of := make(map[string]*section)
	for i := range r.Checks {
		c := &r.Checks[i]
		s := of[c.Citation]
		if s == nil {
			s = &section{Citation: c.Citation}
			of[c.Citation] = s
			sections = append(sections, s)
		}
		s.Checks = append(s.Checks, c)
		if c.Verdict == VerdictFail {
			s.Bad++
		}
	}
	return sections
}

// rawText makes raw bytes readable: text with its lines, the rest as dots.
func rawText(b []byte) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			return c
		case c == '\r':
			return -1
		default:
			return '·'
		}
	}, strings.ToValidUTF8(string(b), "·"))
}

func anchor(id string) string { return "check-" + id }
