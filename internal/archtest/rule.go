package archtest

import (
	"path"
	"strings"
)

// Rule forbids imports: a file of a package in From and not in Except, of the
// kind Files names, must not import what matches Deny unless it matches Allow.
//
// From, Except, Deny and Allow hold patterns, see [Match].
type Rule struct {
	ID     string // stable, lower case, words joined by "-"
	Why    string // one sentence for whoever broke it
	From   []string
	Except []string
	Deny   []string
	Allow  []string
	Files  Files
	// Transitive follows the product files' imports through this module:
	// the rule then holds for everything that ends up in the program.
	Transitive bool
}

// Files says which files of a package a rule looks at.
type Files int

// The kinds of files.
const (
	ProductFiles Files = iota // all but _test.go
	TestFiles                 // _test.go only
	AllFiles
)

// covers reports whether a file is of kind f.
func (f Files) covers(test bool) bool {
	return f == AllFiles || test == (f == TestFiles)
}

// Match reports whether an import matches a pattern. module is the module's
// path. Patterns are:
//
//	./ca             the package ca of this module
//	./ca/...         it and everything below it
//	./...            everything of this module
//	std              the standard library
//	third-party      everything else
//	test-support     packages of this module that only tests use
//	database/sql/... any other import path, alone or with what is below it
func Match(pattern, module, imported string) bool {
	switch pattern {
	case "std":
		return isStd(imported)
	case "third-party":
		return !isStd(imported) && !within(module, imported)
	case "test-support":
		return within(module, imported) && isTestSupport(imported)
	}
	if pattern == "." || strings.HasPrefix(pattern, "./") {
		pattern = path.Join(module, pattern)
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return within(base, imported)
	}
	return pattern == imported
}

func matchAny(patterns []string, module, imported string) bool {
	for _, p := range patterns {
		if Match(p, module, imported) {
			return true
		}
	}
	return false
}

// within reports whether p is base or below it.
func within(base, p string) bool {
	return p == base || strings.HasPrefix(p, base+"/")
}

// isStd reports whether p is of the standard library: its first element has no
// dot, as the go command has it.
func isStd(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

// isTestSupport reports whether a package is written for tests: named
// something-test by the Go convention, or one of ours with another name.
func isTestSupport(p string) bool {
	switch base := path.Base(p); base {
	case "testpki", "testbed", "vectors":
		return true
	default:
		return strings.HasSuffix(base, "test")
	}
}
