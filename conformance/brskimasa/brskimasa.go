// Package brskimasa holds the checks of a MASA (RFC 8995). The suite is the
// registrars that ask it and the pledges behind them, known ones and strangers.
// Start with [Target] and [Checks].
package brskimasa

import (
	"slices"

	"github.com/briskest/briskest/conformance"
)

// check is a check of a MASA.
type check = conformance.Check[*Target]

// The levels, short for the tables.
const (
	must   = conformance.Must
	should = conformance.Should
	may    = conformance.May
)

// Checks returns the checks of a MASA, in the order they are asked. Each stands
// alone; that a good voucher-request is answered at all is found out once a
// [Target].
func Checks() []check {
	return slices.Concat(
		transport(), clients(), requests(), encodings(), domains(), proximity(), nonces(),
		answers(), vouchers(), envelopes(), leaves(), devices(), auditLogs(), nonceless(), semantics(), otherFormats(),
	)
}

// in fills in the citation and the role.
func in(citation string, checks ...check) []check {
	for i := range checks {
		checks[i].Citation, checks[i].Role = citation, conformance.MASA
	}
	return checks
}

// rows names rows of the list of requirements.
func rows(ids ...string) []string { return ids }
