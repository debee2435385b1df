package brskiregistrar_test

import (
	"testing"

	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/conformancetest"
)

type mutation = conformancetest.Mutation[*brskiregistrar.Target]

// breaks makes a mutation of a fault. The checks in also are of other sections
// and see it too.
func breaks(check, what string, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *brskiregistrar.Target { return start(t, f) }}
}

func TestEveryCheckPassesAgainstTheHandlersOfTheLibrary(t *testing.T) {
	conformancetest.Passes(t, start(t), brskiregistrar.Checks())
}

func TestEveryCheckPassesAgainstACloudRegistrarThatRedirectsOrVouches(t *testing.T) {
	conformancetest.Passes(t, startCloud(t, redirects), brskiregistrar.CloudChecks(), "BRSKICLOUD-3.2.3-REG-1", "BRSKICLOUD-9.4-REG-1", "BRSKICLOUD-9.4-REG-2")
	conformancetest.Passes(t, startCloud(t, vouches), brskiregistrar.CloudChecks(), "BRSKICLOUD-3.2.2-REG-1")
}
