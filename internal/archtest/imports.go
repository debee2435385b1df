package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Violation is one broken rule.
type Violation struct {
	Rule    string   // the rule's ID
	Package string   // whose rule it is, below the module, such as "ca/localca"
	At      string   // file and line, relative to the module, of what breaks it
	What    string   // what must not be done, such as "import masa"
	Why     string   // the rule's sentence
	Chain   []string // how a transitive rule got there; the package itself first
}

// String returns one line: where, what, and which rule.
func (v Violation) String() string {
	what := v.What
	if len(v.Chain) > 1 {
		what += " (by way of " + strings.Join(v.Chain, " -> ") + ")"
	}
	return fmt.Sprintf("%s: package %s must not %s: %s [%s]", v.At, v.Package, what, v.Why, v.Rule)
}

// Module is the files of a module, as far as its import clauses.
type Module struct {
	Path     string // from go.mod
	packages map[string][]file
}

type file struct {
	name    string // relative to the module, slashes
	test    bool
	imports []imported
}

type imported struct {
	path string
	line int
}

// Load reads the import clauses below root, the folder of a go.mod. Nested
// modules, testdata and folders that the go command ignores are left out. A
// file that does not parse is an error that names it.
func Load(root string) (*Module, error) {
	modulePath, err := readModulePath(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &Module{Path: modulePath, packages: make(map[string][]file)}
	err = walkGoFiles(root, func(name string) error {
		f, err := readImports(root, name)
		if err != nil {
			return err
		}
		pkg := path.Join(m.Path, path.Dir(name))
		m.packages[pkg] = append(m.packages[pkg], *f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// CheckImports returns what in m breaks rules, sorted by package and rule.
func CheckImports(m *Module, rules []Rule) []Violation {
	var found []Violation
	for _, r := range rules {
		for pkg := range m.packages {
			if !matchAny(r.From, m.Path, pkg) || matchAny(r.Except, m.Path, pkg) {
				continue
			}
			if r.Transitive {
				found = append(found, m.checkReachable(&r, pkg)...)
			} else {
				found = append(found, m.checkPackage(&r, pkg, pkg, nil)...)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].String() < found[j].String() })
	return found
}

// checkPackage holds the files of pkg against r, on behalf of the package from.
func (m *Module) checkPackage(r *Rule, from, pkg string, chain []string) []Violation {
	var found []Violation
	for _, f := range m.packages[pkg] {
		if !r.Files.covers(f.test) {
			continue
		}
		for _, i := range f.imports {
			// An external test package importing what it tests is no import.
			if i.path == pkg || !matchAny(r.Deny, m.Path, i.path) || matchAny(r.Allow, m.Path, i.path) {
				continue
			}
			found = append(found, Violation{
				Rule: r.ID, Package: m.relative(from), At: f.name + ":" + strconv.Itoa(i.line),
				What: "import " + m.relative(i.path), Why: r.Why, Chain: chain,
			})
		}
	}
	return found
}

// checkReachable holds r against every package of the module that from's
// product files reach.
func (m *Module) checkReachable(r *Rule, from string) []Violation {
	var found []Violation
	chains := map[string][]string{from: {m.relative(from)}}
	queue := []string{from}
	for len(queue) > 0 {
		pkg := queue[0]
		queue = queue[1:]
		found = append(found, m.checkPackage(r, from, pkg, chains[pkg])...)
		for _, f := range m.packages[pkg] {
			if f.test {
				continue
			}
			for _, i := range f.imports {
				if _, seen := chains[i.path]; seen || !within(m.Path, i.path) || matchAny(r.Deny, m.Path, i.path) {
					continue // known, not ours, or reported already
				}
				chains[i.path] = append(append([]string(nil), chains[pkg]...), m.relative(i.path))
				queue = append(queue, i.path)
			}
		}
	}
	return found
}

// relative returns p as seen from the module's root.
func (m *Module) relative(p string) string {
	return strings.TrimPrefix(p, m.Path+"/")
}

func readModulePath(name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", errors.New(name + " has no module line")
}

// walkGoFiles calls visit with each Go file of the module at root, relative to
// it, with slashes.
func walkGoFiles(root string, visit func(name string) error) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && (ignoredFolder(d.Name()) || isModule(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || ignoredFile(d.Name()) {
			return nil
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name))
	})
}

func ignoredFolder(name string) bool {
	return name == "testdata" || name == "vendor" || ignoredFile(name)
}

func ignoredFile(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readImports(root, name string) (*file, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, test: strings.HasSuffix(name, "_test.go")}
	for _, spec := range parsed.Imports {
		f.imports = append(f.imports, imported{path: importPath(spec), line: fset.Position(spec.Pos()).Line})
	}
	return f, nil
}

// importPath returns what spec imports; the parser has checked the literal.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}
