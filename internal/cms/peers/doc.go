// Package peers holds internal/cms against other Go implementations of CMS, which must not become dependencies of the
// product: it is a module of its own and has tests only. Run them with go test ./... in this folder.
package peers
