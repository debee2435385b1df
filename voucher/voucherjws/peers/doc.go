// Package peers holds voucher/voucherjws against another implementation of JWS, which must not become a dependency of
// the product: it is a module of its own and has tests only. Run them with go test ./... in this folder.
package peers
