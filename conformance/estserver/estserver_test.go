package estserver_test

import (
	"slices"
	"testing"

	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/conformance/estserver"
)

type mutation = conformancetest.Mutation[*estserver.Target]

// breaks makes a mutation of faults.
func breaks(check, what string, faults ...fault) mutation {
	return mutation{Check: check, Breaks: what, Start: func(t testing.TB) *estserver.Target { return start(t, faults...) }}
}

// also names checks of other sections that see the fault too.
func also(m mutation, checks ...string) mutation {
	m.Also = checks
	return m
}

func TestEveryCheckPassesAgainstTheHandlerOfTheLibrary(t *testing.T) {
	conformancetest.Passes(t, start(t), estserver.Checks())
}

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, estserver.Checks(), slices.Concat(firstMutations()))
}
