// Package catalogue knows all checks of all roles, and makes the matrix that
// says which requirement is covered by which checks and why others are not:
// docs/conformance-matrix.md.
package catalogue

import (
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/brskimasa"
	"github.com/briskest/briskest/conformance/brskipledge"
	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/estclient"
	"github.com/briskest/briskest/conformance/estserver"
)

// All returns the checks of all roles. A new role has its line here.
func All() []conformance.Meta {
	return slices.Concat(
		conformance.Metas(estserver.Checks()),
		conformance.Metas(brskiregistrar.Checks()),
		conformance.Metas(brskiregistrar.CloudChecks()),
		conformance.Metas(brskimasa.Checks()),
		conformance.Metas(estclient.Checks()),
		conformance.Metas(brskipledge.Checks()),
	)
}
