package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// SignatureRule is the rule ID of what [CheckSignatures] reports.
const SignatureRule = "no-third-party-type-in-a-signature"

const signatureWhy = "libraries export types of the standard library and of this module only, so that their users need not follow our choice of modules"

// CheckSignatures reads the packages below root whose path below the module
// matches one of patterns, and returns each exported function, method, type,
// field, constant and variable whose type comes from a third-party module.
// Exported parts of unexported types count where an exported signature leads
// to them. Nothing is type-checked: a variable without a written type is judged
// by the packages its value names.
func CheckSignatures(root string, patterns []string) ([]Violation, error) {
	modulePath, err := readModulePath(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	packages := make(map[string]*surface)
	err = walkGoFiles(root, func(name string) error {
		pkg := path.Join(modulePath, path.Dir(name))
		if strings.HasSuffix(name, "_test.go") || isTestSupport(pkg) || !matchAny(patterns, modulePath, pkg) {
			return nil
		}
		s := packages[pkg]
		if s == nil {
			s = newSurface(modulePath, pkg)
			packages[pkg] = s
		}
		return s.add(root, name)
	})
	if err != nil {
		return nil, err
	}
	var found []Violation
	for _, s := range packages {
		found = append(found, s.check()...)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].String() < found[j].String() })
	return found, nil
}

// surface is one package as its users see it.
type surface struct {
	module, pkg string
	fset        *token.FileSet
	files       []sourceFile
	types       map[string]declaration // package-level types by name
	funcs       map[string]declaration // package-level functions by name
	methods     map[string][]declaration
	seen        map[string]bool // types and functions already walked
	found       []Violation
}

type sourceFile struct {
	name string
	tree *ast.File
	ours map[string]bool // names of imported packages of ours and the standard library
}

// declaration is a node with the file whose imports its names refer to.
type declaration struct {
	file *sourceFile
	node ast.Node
}

func newSurface(module, pkg string) *surface {
	return &surface{
		module: module, pkg: pkg, fset: token.NewFileSet(),
		types: make(map[string]declaration), funcs: make(map[string]declaration),
		methods: make(map[string][]declaration), seen: make(map[string]bool),
	}
}

// add parses one file of the package.
func (s *surface) add(root, name string) error {
	tree, err := parser.ParseFile(s.fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := sourceFile{name: name, tree: tree, ours: make(map[string]bool)}
	for _, spec := range tree.Imports {
		p := importPath(spec)
		if !isStd(p) && !within(s.module, p) {
			if spec.Name != nil && spec.Name.Name == "." {
				s.report(name, spec, "import "+p+" by a dot, which hides its types")
			}
			continue
		}
		f.ours[packageName(spec, p)] = true
	}
	s.files = append(s.files, f)
	return nil
}

// packageName returns how a file calls an import. Packages of the standard
// library and of this module are named as their folder, versions left out.
func packageName(spec *ast.ImportSpec, p string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

func (s *surface) check() []Violation {
	for i := range s.files {
		s.index(&s.files[i])
	}
	for i := range s.files {
		f := &s.files[i]
		for _, decl := range f.tree.Decls {
			s.walkDecl(f, decl)
		}
	}
	return s.found
}

// index notes the package-level types, functions and methods of f.
func (s *surface) index(f *sourceFile) {
	for _, decl := range f.tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				s.funcs[d.Name.Name] = declaration{f, d}
			} else if name := receiverName(d); name != "" {
				s.methods[name] = append(s.methods[name], declaration{f, d})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					s.types[t.Name.Name] = declaration{f, t}
				}
			}
		}
	}
}

// receiverName returns the type a method belongs to.
func receiverName(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// declares reports whether name is a package-level type, function or variable.
func (s *surface) declares(name string) bool {
	if _, ok := s.types[name]; ok {
		return true
	}
	if _, ok := s.funcs[name]; ok {
		return true
	}
	for i := range s.files {
		for _, decl := range s.files[i].tree.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && declaresValue(d, name) {
				return true
			}
		}
	}
	return false
}

func declaresValue(d *ast.GenDecl, name string) bool {
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for _, n := range v.Names {
			if n.Name == name {
				return true
			}
		}
	}
	return false
}
