//go:build race

package capabilities_test

// builtAs has the tests of other packages built as this one is: most of it is in the cache.
var builtAs = []string{"-race"}
