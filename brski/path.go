package brski

import (
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/est"
)

// PathPrefix is where BRSKI lives on a server (RFC 8995, Section 8.3.1).
const PathPrefix = "/.well-known/brski"

// parsePath decides what an escaped path asks for. Only the exact spelling is
// served, as in package est: a decision must never be made on one spelling of a
// path and carried out on another. BRSKI has no labels.
func parsePath(escaped, base string, served []Operation) (Operation, *est.Error) {
	rest, ok := strings.CutPrefix(escaped, base+"/")
	if ok && slices.Contains(served, Operation(rest)) {
		return Operation(rest), nil
	}
	names := make([]string, len(served))
	for i, op := range served {
		names[i] = string(op)
	}
	offer := " Served here: " + strings.Join(names, ", ") + "."
	refuse := func(reason, text string) (Operation, *est.Error) {
		return "", &est.Error{
			Status: http.StatusNotFound, Reason: reason, Section: "RFC 8995, Section 8.3.1", Message: text + offer,
		}
	}
	segments := strings.Split(rest, "/")
	isDots := func(s string) bool { return s == "." || s == ".." }
	switch {
	case strings.Contains(escaped, "//"):
		return refuse(est.ReasonPathSlash, "The path has a doubled slash.")
	case escaped == base:
		return refuse(est.ReasonPathOperation, "This is where BRSKI is served; add an operation to the path.")
	case !ok:
		return refuse(est.ReasonPathPrefix, "BRSKI is served under "+base+"/ only, letter by letter.")
	case slices.ContainsFunc(segments, isDots):
		return refuse(est.ReasonPathDots, "The path has a dot segment. Paths are not resolved here.")
	case strings.Contains(rest, "%"):
		return refuse(est.ReasonPathEncoding, "The path has percent-encoded characters. No operation needs them.")
	case len(segments) > 1 && segments[len(segments)-1] == "":
		return refuse(est.ReasonPathSlash, "The path has a slash at its end.")
	case len(segments) > 1:
		return refuse(est.ReasonPathSegments, "The path has too many segments; BRSKI has no labels.")
	default:
		return refuse(est.ReasonPathOperation, "No such operation; letter case counts.")
	}
}
