// Command requirements keeps docs/conformance-est.md and docs/conformance-brski.md:
// each requirement that the specifications make of an EST server, client or CA, or of a
// registrar, MASA, pledge or join proxy, the tests that hold it, and what became
// of them in a run of the tests.
//
// A test holds a requirement when the comment directly above it names the
// requirement's id, such as EST-7030-4.2.3-08. A requirement that is not met
// is named in docs/divergences.md. Results come from internal/testreport:
//
//	go test -json ./... | testreport -results results.txt
//	requirements -list est -results results.txt           # writes the document
//	requirements -list est -results results.txt -check    # exits 1 when it is stale
//
// The list of requirements is a CSV file (id, spec, section, role, level, ...);
// without one the rows of the document itself are taken.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

type options struct {
	root, list, csv, divergences, results string
	check                                 bool
}

func main() {
	o := &options{}
	flag.StringVar(&o.root, "root", ".", "the module's folder")
	flag.StringVar(&o.list, "list", "est", "whose requirements: est or brski")
	flag.StringVar(&o.csv, "csv", "", "the list of requirements; without one the document's rows are taken")
	flag.StringVar(&o.divergences, "divergences", "docs/divergences.md", "where requirements that are not met are named")
	flag.StringVar(&o.results, "results", "", "what internal/testreport wrote with -results")
	flag.BoolVar(&o.check, "check", false, "write nothing; fail when the document is stale or a requirement is not held")
	flag.Parse()
	if err := o.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "requirements:", err)
		os.Exit(1)
	}
}

// maxDivergences bounds how many requirements may be answered by a divergence.
const maxDivergences = 25

var errStale = errors.New("the document is stale: run `make requirements` and commit it")

func (o *options) run(out io.Writer) error {
	l, err := listNamed(o.list)
	if err != nil {
		return err
	}
	file := filepath.Join(o.root, l.document)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	rows, err := o.rows(l, old)
	if err != nil {
		return err
	}
	tests, err := findTests(l, o.root)
	if err != nil {
		return err
	}
	results, err := readResults(o.results)
	if err != nil {
		return err
	}
	diverging, err := readDivergences(l, filepath.Join(o.root, o.divergences))
	if err != nil {
		return err
	}
	m := join(l, rows, tests, results, diverging)
	fmt.Fprintf(out, "figures: %s\n", m.summary())
	for _, id := range m.unheld {
		fmt.Fprintln(out, "nothing holds", id)
	}
	for _, id := range m.unknown {
		fmt.Fprintln(out, "no such requirement, but a test names it:", id)
	}
	text := m.document()
	if !o.check {
		return os.WriteFile(file, text, 0o644)
	}
	switch {
	case string(text) != string(old):
		return errStale
	case len(m.unheld) > 0:
		return fmt.Errorf("%d requirements are held by no passing test and no divergence", len(m.unheld))
	case m.diverging > maxDivergences:
		return fmt.Errorf("%d requirements diverge; at most %d may", m.diverging, maxDivergences)
	}
	return nil
}

// rows reads the requirements from the CSV file, or from the document as it is.
func (o *options) rows(l *list, document []byte) ([]row, error) {
	if o.csv == "" {
		return rowsOf(l, document), nil
	}
	f, err := os.Open(o.csv)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readCSV(l, f)
}
