package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
)

// nothing is a target that nothing is asked of.
type nothing struct{}

func TestEachOutcomeOfACheckHasItsVerdict(t *testing.T) {
	for want, outcome := range map[string]error{
		"pass": nil,
		"fail": errors.New("GET /x answered 500, want 200"),
		"skip": fmt.Errorf("asked: %w", conformance.Skip("no %s", "password")),
	} {
		report := run(t, conformance.Options{}, check(func(context.Context, nothing) error { return outcome }))
		got := report.Checks[0]
		if string(got.Verdict) != want || outcome != nil && got.Reason != outcome.Error() {
			t.Errorf("a check that returns %v has the verdict %s, %q, want %s", outcome, got.Verdict, got.Reason, want)
		}
	}
}

func TestTheExitCodeDependsOnLevelsAndStrictness(t *testing.T) {
	for _, c := range []struct {
		level           conformance.Level
		lenient, strict int
	}{{conformance.Must, 1, 1}, {conformance.Should, 0, 3}, {conformance.May, 0, 0}} {
		failing := check(func(context.Context, nothing) error { return errors.New("wrong") })
		failing.Level = c.level
		report := run(t, conformance.Options{}, failing)
		if report.ExitCode(false) != c.lenient || report.ExitCode(true) != c.strict {
			t.Errorf("a failed %s exits with %d and, strictly, %d, want %d and %d", c.level, report.ExitCode(false), report.ExitCode(true), c.lenient, c.strict)
		}
	}
}

func TestAReportIsWrittenAsJSON(t *testing.T) {
	got := written(t, "json")
	want := `{"target":"https://127.0.0.1:1","checks":[{"id":"X-1-1","citation":"X, Section 1","level":"MUST","role":"est","verdict":"fail","reason":"wrong <b>","requirements":["EST-X-1-01"]}]}` + "\n"
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(strings.ReplaceAll(strings.ReplaceAll(got, `\u003c`, "<"), `\u003e`, ">"))); err != nil || compact.String()+"\n" != want {
		t.Errorf("the report is %v\n%swant\n%s", err, got, want)
	}
}

func TestAReportIsWrittenAsATable(t *testing.T) {
	got := written(t, "table")
	for _, want := range []string{"VERDICT", "fail", "X-1-1", "MUST", "it works", "wrong <b>", "1 checks: 0 passed, 1 failed (1 MUST", "certificate 01"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table does not say %q:\n%s", want, got)
		}
	}
}

func TestAReportIsWrittenAsJUnit(t *testing.T) {
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	got := written(t, "junit")
	if err := xml.Unmarshal([]byte(got), &suite); err != nil {
		t.Fatalf("%v:\n%s", err, got)
	}
	if suite.Tests != 1 || suite.Failures != 1 || len(suite.Cases) != 1 || suite.Cases[0].Name != "X-1-1" ||
		suite.Cases[0].Failure == nil || suite.Cases[0].Failure.Message != "wrong <b>" {
		t.Errorf("the suite is %+v from\n%s", suite, got)
	}
}

func TestAReportIsWrittenAsOnePage(t *testing.T) {
	got := written(t, "html")
	for _, want := range []string{"X-1-1", "it works", "wrong &lt;b&gt;", "EST-X-1-01", "certificate 01", "GET /x", `name="viewport"`, "@media print"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, no := range []string{"<script", "src=", "href=\"http", "@import", "url("} {
		if strings.Contains(got, no) {
			t.Errorf("the page has %q, so that it is not self-contained or needs scripts", no)
		}
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	if err := new(conformance.Report).Write(new(bytes.Buffer), "yaml"); err == nil {
		t.Error("Write took the format yaml")
	}
}

func TestWhatAPeerWroteCannotSteerATerminal(t *testing.T) {
	hostile := "answered \x1b[2J\u202e\r\n\xff" + strings.Repeat("a", 10000)
	report := run(t, conformance.Options{}, check(func(ctx context.Context, _ nothing) error {
		conformance.Record(ctx, conformance.Exchange{Sent: "x", Came: hostile})
		conformance.Leave(ctx, "%s", hostile)
		return errors.New(hostile)
	}))
	for _, text := range []string{report.Checks[0].Reason, report.Checks[0].Exchanges[0].Came, report.Left[0]} {
		//lint:ignore SA1011 a peer may send such bytes
		if strings.ContainsAny(text, "\x1b\u202e\r\n\xff") || len([]rune(text)) > 400 {
			t.Errorf("the text is %d runes, %q", len([]rune(text)), text)
		}
	}
}

func TestRawExchangesAreKeptOnRequestAndBounded(t *testing.T) {
	asks := check(func(ctx context.Context, _ nothing) error {
		for range 100 {
			conformance.Record(ctx, conformance.Exchange{Sent: "x", Came: "y", RawSent: make([]byte, 1<<20), RawCame: []byte("raw")})
		}
		return nil
	})
	for _, raw := range []bool{false, true} {
		got := run(t, conformance.Options{Raw: raw}, asks).Checks[0].Exchanges
		if len(got) != 64 || len(got[0].RawSent) > 65<<10 || raw != (string(got[0].RawCame) == "raw") {
			t.Errorf("raw %v: %d exchanges, %d bytes sent, %q came", raw, len(got), len(got[0].RawSent), got[0].RawCame)
		}
	}
	conformance.Record(t.Context(), conformance.Exchange{}) // outside of a run it is for nobody
}

func TestACheckThatRunsOutOfTimeFails(t *testing.T) {
	heeds := check(func(ctx context.Context, _ nothing) error {
		<-ctx.Done()
		return fmt.Errorf("GET /x: %w", ctx.Err())
	})
	hangs := check(func(context.Context, nothing) error { select {} })
	report := run(t, conformance.Options{Timeout: time.Millisecond}, heeds, hangs)
	for _, got := range report.Checks {
		if got.Verdict != conformance.VerdictFail || !strings.Contains(got.Reason, "no answer within 1ms") {
			t.Errorf("verdict %s, reason %q, want fail for want of an answer", got.Verdict, got.Reason)
		}
	}
}

func TestAFaultOfTheSuiteBlamesNobody(t *testing.T) {
	report := run(t, conformance.Options{}, check(func(context.Context, nothing) error { panic("oh") }))
	if got := report.Checks[0]; got.Verdict != conformance.VerdictSkip || !strings.Contains(got.Reason, "fault of the suite") {
		t.Errorf("a check that panics: %s, %q", got.Verdict, got.Reason)
	}
}

func TestAStoppedRunSkipsTheRest(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stopping := check(func(context.Context, nothing) error { stop(); return errors.New("cut short") })
	never := check(func(context.Context, nothing) error { t.Error("asked after the stop"); return nil })
	report := conformance.Run(ctx, nothing{}, []conformance.Check[nothing]{stopping, never}, &conformance.Options{})
	if n := report.Count(conformance.VerdictSkip); n != 2 {
		t.Errorf("%d checks skipped, want both: %+v", n, report.Checks)
	}
	if report := run(t, conformance.Options{Deadline: time.Nanosecond}, never); report.Count(conformance.VerdictSkip) != 1 {
		t.Errorf("after the deadline: %+v", report.Checks)
	}
}

func TestAnExclusionExplainsAVerdictAndDoesNotChangeIt(t *testing.T) {
	expected := &conformance.Exclusions{Peer: "peer 1.0", Exclusions: []conformance.Exclusion{{Check: "X-1-1", Sentence: "it never did"}}}
	o := conformance.Options{Exclusions: expected}
	report := run(t, o, check(func(context.Context, nothing) error { return errors.New("wrong") }))
	got := report.Checks[0]
	if got.Verdict != conformance.VerdictFail || !got.Excluded || report.ExitCode(true) != 0 || got.Reason != "expected of peer 1.0: it never did [wrong]" {
		t.Errorf("excluded: %+v, exit code %d", got, report.ExitCode(true))
	}
	report = run(t, o, check(func(context.Context, nothing) error { return nil }))
	if !slices.Equal(report.Stale, []string{"X-1-1"}) {
		t.Errorf("a passed check that is excluded: stale %v", report.Stale)
	}
}

func TestExclusionsAreReadStrictly(t *testing.T) {
	for _, peer := range conformance.Peers() {
		if _, err := conformance.LoadExclusions(peer); err != nil {
			t.Errorf("profile %s: %v", peer, err)
		}
	}
	for _, bad := range []string{
		`{"peer":"x","exclusions":[{"check":"X-1-1"}]}`, `{"peer":"x","exclusions":[],"more":1}`, `{}{}`, `no`,
		`{"exclusions":[{"check":"X-1-1","sentence":"a"},{"check":"X-1-1","sentence":"b"}]}`,
	} {
		file := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := conformance.LoadExclusions(file); err == nil {
			t.Errorf("LoadExclusions took %s", bad)
		}
	}
	if _, err := conformance.LoadExclusions("no-such-peer"); err == nil {
		t.Error("LoadExclusions took a name that is no profile and no file")
	}
}

func TestChecksAreSelectedByIDSectionAndDocument(t *testing.T) {
	checks := []conformance.Check[nothing]{
		{ID: "RFC7030-4.1-1", Citation: "RFC 7030, Section 4.1"}, {ID: "RFC7030-4.1.3-1", Citation: "RFC 7030, Section 4.1.3"},
		{ID: "RFC7030-4.1.3-10", Citation: "RFC 7030, Section 4.1.3"}, {ID: "RFC8951-3-1", Citation: "RFC 8951, Section 3"},
	}
	for only, want := range map[string]int{"RFC7030-4.1.3-1": 1, "RFC7030-4.1": 3, "RFC7030": 3, "RFC 8951": 1, "RFC 7030, Section 4.1": 3, "": 4} {
		var names []string
		if only != "" {
			names = []string{only}
		}
		got, err := conformance.Select(checks, names)
		if err != nil || len(got) != want {
			t.Errorf("Select(%q) = %d checks, %v, want %d", only, len(got), err, want)
		}
	}
	if _, err := conformance.Select(checks, []string{"RFC703"}); err == nil {
		t.Error("Select took a name that is no check's")
	}
}

func check(f func(context.Context, nothing) error) conformance.Check[nothing] {
	return conformance.Check[nothing]{
		ID: "X-1-1", Citation: "X, Section 1", Text: "it works", Requirements: []string{"EST-X-1-01"},
		Role: conformance.ESTServer, Level: conformance.Must, Run: f,
	}
}

func run(t *testing.T, o conformance.Options, checks ...conformance.Check[nothing]) *conformance.Report {
	t.Helper()
	o.Target = "https://127.0.0.1:1"
	return conformance.Run(t.Context(), nothing{}, checks, &o)
}

// written is the report of one failed check, in that format.
func written(t *testing.T, format string) string {
	t.Helper()
	report := run(t, conformance.Options{}, check(func(ctx context.Context, _ nothing) error {
		conformance.Record(ctx, conformance.Exchange{Sent: "GET /x", Came: "500"})
		conformance.Leave(ctx, "certificate %02d", 1)
		return errors.New("wrong <b>")
	}))
	var b bytes.Buffer
	if err := report.Write(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
