// Package brskiregistrar holds the checks of a BRSKI registrar (RFC 8995). The
// suite is the pledge that asks it and the MASA behind it, so that it sees what
// the registrar makes of a request. Start with [Target] and [Checks], or
// [CloudChecks] for a cloud registrar.
package brskiregistrar

import (
	"slices"

	"github.com/briskest/briskest/conformance"
)

// check is a check of a registrar.
type check = conformance.Check[*Target]

// The levels, short for the tables.
const (
	must   = conformance.Must
	should = conformance.Should
	may    = conformance.May
)

// Checks returns the checks of a registrar, in the order they are asked. Each
// stands alone; that a good voucher-request is answered at all is found out
// once a [Target].
func Checks() []check {
	return slices.Concat(
		endpoints(), transport(), requests(), encodings(), identities(),
		forwarded(), masaConnections(), answers(), semantics(),
		telemetry(), auditLogs(), enrollment(), estServer(), otherFormats(), reading(), joining(),
	)
}

// in fills in the citation and the role.
func in(citation string, checks ...check) []check {
	for i := range checks {
		checks[i].Citation, checks[i].Role = citation, conformance.Registrar
	}
	return checks
}

// rows names rows of the list of requirements.
func rows(ids ...string) []string { return ids }
