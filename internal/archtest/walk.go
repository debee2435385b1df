package archtest

import (
	"fmt"
	"go/ast"
	"strings"
)

// walkDecl starts from what a package-level declaration exports.
func (s *surface) walkDecl(f *sourceFile, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.IsExported() {
			s.walkFunc(d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch x := spec.(type) {
			case *ast.TypeSpec:
				if x.Name.IsExported() {
					s.walkType(x.Name.Name)
				}
			case *ast.ValueSpec:
				s.walkValue(f, x)
			}
		}
	}
}

// walkType walks a package-level type and its exported methods, once.
func (s *surface) walkType(name string) {
	d, ok := s.types[name]
	if !ok || s.seen["type "+name] {
		return
	}
	s.seen["type "+name] = true
	spec, ok := d.node.(*ast.TypeSpec)
	if !ok {
		return
	}
	if spec.TypeParams != nil {
		s.walkExpr(d.file, name, spec.TypeParams)
	}
	s.walkExpr(d.file, name, spec.Type)
	for _, m := range s.methods[name] {
		if fn, ok := m.node.(*ast.FuncDecl); ok && fn.Name.IsExported() {
			s.walkExpr(m.file, name+"."+fn.Name.Name, fn.Type)
		}
	}
}

// walkFunc walks the signature of a package-level function, once.
func (s *surface) walkFunc(name string) {
	d, ok := s.funcs[name]
	if !ok || s.seen["func "+name] {
		return
	}
	s.seen["func "+name] = true
	if fn, ok := d.node.(*ast.FuncDecl); ok {
		s.walkExpr(d.file, name, fn.Type)
	}
}

// walkValue walks exported constants and variables: the written type or, when
// there is none, what the value names.
func (s *surface) walkValue(f *sourceFile, spec *ast.ValueSpec) {
	for _, name := range spec.Names {
		switch {
		case !name.IsExported():
		case spec.Type != nil:
			s.walkExpr(f, name.Name, spec.Type)
		default:
			for _, v := range spec.Values {
				s.walkExpr(f, name.Name, v)
			}
		}
	}
}

// walkExpr reports the third-party names in a type or value, and follows the
// names of this package.
func (s *surface) walkExpr(f *sourceFile, where string, node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.StructType:
			s.walkFields(f, where, x)
			return false
		case *ast.InterfaceType:
			s.walkMethods(f, where, x)
			return false
		case *ast.FuncLit:
			s.walkExpr(f, where, x.Type)
			return false
		case *ast.Field:
			s.walkExpr(f, where, x.Type) // parameter names are nobody's business
			return false
		case *ast.CompositeLit:
			if x.Type != nil {
				s.walkExpr(f, where, x.Type)
			}
			return false
		case *ast.CallExpr:
			s.walkExpr(f, where, resultOf(x))
			return false
		case *ast.SelectorExpr:
			s.walkSelector(f, where, x)
			return false
		case *ast.Ident:
			s.walkType(x.Name)
			s.walkFunc(x.Name)
		}
		return true
	})
}

// resultOf returns the part of a call that says what type comes out of it.
func resultOf(call *ast.CallExpr) ast.Expr {
	if name, ok := call.Fun.(*ast.Ident); ok && (name.Name == "new" || name.Name == "make") && len(call.Args) > 0 {
		return call.Args[0]
	}
	return call.Fun
}

// walkFields walks the fields of a struct that its users can reach: exported
// ones, and embedded ones, whose own exported parts are promoted.
func (s *surface) walkFields(f *sourceFile, where string, t *ast.StructType) {
	for _, field := range t.Fields.List {
		exported := len(field.Names) == 0
		for _, name := range field.Names {
			exported = exported || name.IsExported()
		}
		if exported {
			s.walkExpr(f, where, field.Type)
		}
	}
}

// walkMethods walks an interface: its exported methods and what it embeds.
func (s *surface) walkMethods(f *sourceFile, where string, t *ast.InterfaceType) {
	for _, m := range t.Methods.List {
		if len(m.Names) == 0 || m.Names[0].IsExported() {
			s.walkExpr(f, where, m.Type)
		}
	}
}

// walkSelector judges a qualified name. What is no package of ours nor of the
// standard library is somebody else's.
func (s *surface) walkSelector(f *sourceFile, where string, x *ast.SelectorExpr) {
	qualifier, ok := x.X.(*ast.Ident)
	if !ok {
		s.walkExpr(f, where, x.X)
		return
	}
	if f.ours[qualifier.Name] || s.declares(qualifier.Name) {
		return
	}
	s.report(f.name, x, "export "+qualifier.Name+"."+x.Sel.Name+" in the signature of "+where)
}

func (s *surface) report(name string, at ast.Node, what string) {
	s.found = append(s.found, Violation{
		Rule: SignatureRule, Package: strings.TrimPrefix(s.pkg, s.module+"/"),
		At:   fmt.Sprintf("%s:%d", name, s.fset.Position(at.Pos()).Line),
		What: what, Why: signatureWhy,
	})
}
