//go:build race

package capabilities_test

// builtAs has the tests of other packages built as `make test` builds them: most of it is in the cache.
var builtAs = []string{"-race", "-gcflags=modernc.org/...=-race=false"}
