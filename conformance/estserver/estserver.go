// Package estserver holds the checks of an EST server: a file per RFC and
// section or topic, one entry per requirement. Start with [Target] and [Checks].
package estserver

import (
	"slices"

	"github.com/briskest/briskest/conformance"
)

// check is a check of an EST server.
type check = conformance.Check[*Target]

// The levels, short for the tables.
const (
	must   = conformance.Must
	should = conformance.Should
	may    = conformance.May
)

// Checks returns the checks of an EST server, in the order they are asked. Each
// stands alone; what they have in common, such as a certificate, is fetched
// once a [Target].
func Checks() []check {
	return slices.Concat(
		transport(), serverCertificates(),
		operations(), semantics(), authentication(), mediaTypes(),
		bodies(), csrs(),
		caCerts(), enrollment(), reenrollment(), authorities(), csrAttributes(), csrPlans(), linking(), keyGeneration(), packages(), fullCMC(),
		revocations(),
	)
}

// in fills in the citation and the role.
func in(citation string, checks ...check) []check {
	for i := range checks {
		checks[i].Citation, checks[i].Role = citation, conformance.ESTServer
	}
	return checks
}

// rows names rows of the list of requirements.
func rows(ids ...string) []string { return ids }
