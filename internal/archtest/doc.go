// Package archtest keeps the import rules of docs/design.md, Section 2: a
// table of who may import what ([Rules]), a checker that reads the import
// clauses of a module's files ([CheckImports]), and one that reads the exported
// signatures of the libraries ([CheckSignatures]).
//
// Everything is parsed and nothing is compiled, so a package that does not
// build yet is judged too, whatever its build constraints. Imports of
// third-party modules are not followed: what those import is theirs.
package archtest
