// Command testreport reads `go test -json` and prints a line for each package,
// the output of what failed, and of the rest the lines that hold "figures: ".
// It exits 1 when a test failed, and also when one skipped: where everything the tests need was installed, a skip hides
// something. Only tests that ask for vectors may skip (their message names
// BRISKEST_VECTORS), those that speak to servers which `make peers` builds, and the one of libest's client, which no Debian package
// has and which BRISKEST_LIBEST names.
//
// With -results FILE it appends a line "OUTCOME PACKAGE TEST" for each test to
// the file, for internal/requirements.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

func main() {
	file := flag.String("results", "", "append the outcome of each test to this file")
	flag.Parse()
	results := io.Discard
	if *file != "" {
		f, err := os.OpenFile(*file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			os.Exit(2)
		}
		defer f.Close()
		results = f
	}
	if !report(os.Stdin, os.Stdout, results) {
		os.Exit(1)
	}
}

// tally is what was seen so far.
type tally struct {
	output                  map[string][]string // of tests under way, by package and test
	passed, failed, skipped int
	packages                int // that failed
	refused                 []string
	results                 io.Writer
}

// report reads events, prints, and says whether all is well.
func report(in io.Reader, out, results io.Writer) bool {
	t := &tally{output: make(map[string][]string), results: results}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // of the go command itself
			continue
		}
		t.add(out, &e)
	}
	for _, name := range t.refused {
		fmt.Fprintln(out, "skipped, and nothing may skip here:", name)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	return lines.Err() == nil && t.failed == 0 && t.packages == 0 && len(t.refused) == 0 && t.passed > 0
}

func (t *tally) add(out io.Writer, e *event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		t.output[key] = append(t.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(out, e, key)
		} else {
			t.endTest(out, e, key)
		}
		delete(t.output, key)
	}
}

func (t *tally) endTest(out io.Writer, e *event, key string) {
	text := strings.Join(t.output[key], "")
	fmt.Fprintln(t.results, e.Action, e.Package, e.Test)
	switch e.Action {
	case "pass":
		t.passed++
		for line := range strings.Lines(text) {
			if _, figures, ok := strings.Cut(line, "figures: "); ok {
				fmt.Fprint(out, "      ", figures)
			}
		}
	case "fail":
		t.failed++
		fmt.Fprint(out, text)
	case "skip":
		t.skipped++
		if !maySkip(key, text) {
			t.refused = append(t.refused, key+"\n"+text)
		}
	}
}

// outside are the tests that may skip without a variable that CI does not set: it names
// a program of others that has no Debian package.
var outside = [...]struct{ test, variable string }{
	{"github.com/briskest/briskest/conformance/interop TestOtherPeoplesClients/client/libest", "BRISKEST_LIBEST"},
	{"github.com/briskest/briskest/conformance/estserver TestAnotherServerIsAskedToTheEnd", "BRISKEST_EST_PEER"},
}

// peers is what testbed.Peer says of servers that take an hour to build.
const peers = "`make peers` builds it"

func maySkip(key, text string) bool {
	for _, o := range outside {
		if key == o.test && strings.Contains(text, o.variable) {
			return true
		}
	}
	return strings.Contains(text, "BRISKEST_VECTORS") || strings.Contains(text, peers)
}

func (t *tally) endPackage(out io.Writer, e *event, key string) {
	if e.Action == "fail" {
		t.packages++
		fmt.Fprint(out, strings.Join(t.output[key], ""))
	}
	if e.Action != "skip" { // a package without tests
		fmt.Fprintf(out, "%-5s %s %.1fs\n", strings.ToUpper(e.Action), e.Package, e.Elapsed)
	}
}
