package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rows = "id,spec,section,role,level,summary,how_to_test\n" +
	"EST-7030-1-01,RFC 7030,1,server,MUST,a,b\n" +
	"EST-7030-1-02,RFC 7030,1,client,MUST NOT,a,b\n" +
	"EST-7030-1-03,RFC 7030,1,server,SHOULD,a,b\n" +
	"EST-9148-1-01,RFC 9148,1,server,MUST,a,b\n" +
	"BRSKI-EST-7030-1-01,EST glue,1,registrar,MUST,a,b\n"

// module writes a module with one test, which names the first requirement.
func module(t *testing.T, comment, divergences string) *options {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("est/a_test.go", "package est\n\n"+comment+"\nfunc TestA(t *testing.T) {}\n\nfunc TestB(t *testing.T) {}\n")
	write("docs/divergences.md", divergences)
	return &options{
		root: dir, csv: write("list.csv", rows), list: "est", divergences: "docs/divergences.md",
		results: write("results.txt", "pass github.com/briskest/briskest/est TestA\nfail github.com/briskest/briskest/est TestB\n"),
	}
}

func TestEveryRequirementThatATestOrADivergenceHoldsIsInTheDocument(t *testing.T) {
	o := module(t, "// EST-7030-1-01: so it is.", "### EST-7030-1-02\n")
	if err := o.run(&bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.root, "docs/conformance-est.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| EST-7030-1-01 | RFC 7030, Section 1 | server | MUST | `est.TestA` | pass |",
		"| EST-7030-1-02 | RFC 7030, Section 1 | client | MUST NOT |  | divergence |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document does not have %q:\n%s", want, text)
		}
	}
	for _, no := range []string{"EST-7030-1-03", "EST-9148"} {
		if strings.Contains(string(text), no) {
			t.Errorf("the document has %s, which it is not about", no)
		}
	}
	o.check, o.csv = true, "" // the rows are now the document's
	if err := o.run(&bytes.Buffer{}); err != nil {
		t.Errorf("the document that was just made: %v", err)
	}
}

func TestAStaleDocumentFails(t *testing.T) {
	o := module(t, "// EST-7030-1-01: so it is.", "### EST-7030-1-02\n")
	if err := o.run(&bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	o.check = true
	if err := os.WriteFile(o.results, []byte("fail github.com/briskest/briskest/est TestA\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := o.run(&bytes.Buffer{}); !errors.Is(err, errStale) {
		t.Errorf("after the test failed: %v, want %v", err, errStale)
	}
}

func TestARequirementThatNothingHoldsFails(t *testing.T) {
	for name, comment := range map[string]string{"not named": "// Nothing.", "named above a test that failed": "\nfunc TestC(t *testing.T) {}\n\n// EST-7030-1-01\nfunc TestB2(t *testing.T) {}\n"} {
		o := module(t, comment, "### EST-7030-1-02\n")
		var out bytes.Buffer
		if err := o.run(&out); err != nil {
			t.Fatal(err)
		}
		o.check = true
		if err := o.run(&out); err == nil || !strings.Contains(out.String(), "nothing holds EST-7030-1-01") {
			t.Errorf("%s: %v, %s", name, err, out.String())
		}
	}
}

func TestAnIDInsideAnotherIsNotNamed(t *testing.T) {
	o := module(t, "// BRSKI-EST-7030-1-01: of the other list.", "### EST-7030-1-02\n")
	for name, want := range map[string]string{"est": "nothing holds EST-7030-1-01", "brski": "1 held by passing tests"} {
		o.list = name
		var out bytes.Buffer
		if err := o.run(&out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("list %s: %v, %s; want %q", name, err, out.String(), want)
		}
	}
}
