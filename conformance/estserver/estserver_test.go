package estserver_test

import (
	"slices"
	"testing"

	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/conformance/estserver"
)

type mutation = conformancetest.Mutation[*estserver.Target]

// breaks makes a mutation of a fault. The checks in also are of other sections
// and see it too.
func breaks(check, what string, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *estserver.Target { return start(t, f) }}
}

// both breaks a house twice.
func both(f, g fault) fault { return func(h *house) { f(h); g(h) } }

// labelled has the target ask at a label.
func labelled(h *house) { h.target.Label = "label" }

func TestEveryCheckPassesAgainstTheHandlerOfTheLibrary(t *testing.T) {
	conformancetest.Passes(t, start(t, labelled), estserver.Checks())
}

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, estserver.Checks(), slices.Concat(
		pathMutations(), httpMutations(), mediaMutations(), base64Mutations(),
		csrMutations(), enrollMutations(), nameMutations(), authMutations(), linkMutations(), keygenMutations(),
		cmcMutations(), planMutations(), packageMutations(), tlsMutations(), certificateMutations(),
	))
}
