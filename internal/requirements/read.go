package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// row is one requirement.
type row struct{ id, spec, section, role, level string }

// readCSV returns the requirements that the document is about.
func readCSV(l *list, in io.Reader) ([]row, error) {
	records, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range records[1:] {
		if q := (row{id: r[0], spec: r[1], section: r[2], role: r[3], level: r[4]}); l.about(q) {
			rows = append(rows, q)
		}
	}
	return rows, nil
}

// rowsOf reads the requirements back from a document.
func rowsOf(l *list, document []byte) []row {
	var rows []row
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 || !l.has(strings.TrimSpace(cells[0])) {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		spec, section, _ := strings.Cut(cells[1], ", Section ")
		rows = append(rows, row{id: cells[0], spec: spec, section: section, role: cells[2], level: cells[3]})
	}
	return rows
}

// idPattern takes an id whole: BRSKI-EST-7030-4.1-01 has another one inside.
var idPattern = regexp.MustCompile(`\b[A-Z]+-[0-9A-Za-z.-]+-\d{2}\b`)

// idsIn returns the ids of the list that a text names.
func (l *list) idsIn(text string) []string {
	return slices.DeleteFunc(idPattern.FindAllString(text, -1), func(id string) bool { return !l.has(id) })
}

// test is a test function that names requirements.
type test struct{ pkg, name, id string }

// findTests returns what the comments above test functions name.
func findTests(l *list, root string) ([]test, error) {
	var tests []test
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && file != root):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		found, err := testsOf(l, file)
		dir, relErr := filepath.Rel(root, filepath.Dir(file))
		if err != nil || relErr != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, t := range found {
			t.pkg = filepath.ToSlash(dir)
			tests = append(tests, t)
		}
		return nil
	})
	return tests, err
}

func testsOf(l *list, file string) ([]test, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var tests []test
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Doc == nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		for _, id := range l.idsIn(fn.Doc.Text()) {
			if t := (test{name: fn.Name.Name, id: id}); !slices.Contains(tests, t) {
				tests = append(tests, t)
			}
		}
	}
	return tests, nil
}

// readResults returns the outcome of each test, by folder and name.
func readResults(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the results of the tests: %w", err)
	}
	defer f.Close()
	results := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if outcome, name, ok := strings.Cut(lines.Text(), " "); ok {
			pkg, test, _ := strings.Cut(name, " ")
			results[folderOf(pkg)+" "+test] = outcome
		}
	}
	return results, lines.Err()
}

// folderOf turns a package's path into its folder in the module.
func folderOf(pkg string) string {
	const modulePath = "github.com/briskest/briskest"
	if pkg == modulePath {
		return "."
	}
	return path.Clean(strings.TrimPrefix(pkg, modulePath+"/"))
}

// readDivergences returns the ids that the document of divergences names.
func readDivergences(l *list, file string) (map[string]bool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	for _, id := range l.idsIn(string(text)) {
		ids[id] = true
	}
	return ids, nil
}
