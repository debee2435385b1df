package brskimasa_test

import (
	"testing"

	"github.com/briskest/briskest/conformance/brskimasa"
	"github.com/briskest/briskest/conformance/conformancetest"
)

type mutation = conformancetest.Mutation[*brskimasa.Target]

// breaks makes a mutation of a fault. The checks in also are of other sections
// and see it too.
func breaks(check, what string, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *brskimasa.Target { return start(t, f) }}
}

func TestEveryCheckPassesAgainstTheHandlerOfTheLibrary(t *testing.T) {
	conformancetest.Passes(t, start(t), brskimasa.Checks())
}
