package est

import (
	"net/http"
	"strings"
)

// PathPrefix is where EST lives on a server (RFC 7030, Section 3.2.2).
const PathPrefix = "/.well-known/est"

// maxLabel bounds a label, in bytes.
const maxLabel = 64

// parsePath decides what an escaped path asks for. Only the exact spelling is served: a decision must never be made on
// one spelling of a path and carried out on another.
func parsePath(escaped string) (Operation, string, *Error) {
	rest, ok := strings.CutPrefix(escaped, PathPrefix+"/")
	if !ok || rest == "" {
		return "", "", refusePrefix(escaped)
	}
	if op, ok := operationOf(rest); ok { // some have two segments (RFC 8295, Section 1)
		return op, "", nil
	}
	label, word, labelled := strings.Cut(rest, "/")
	if !labelled {
		label, word = "", rest
	}
	op, ok := operationOf(word)
	if ok && (!labelled || validLabel(label)) {
		return op, label, nil
	}
	return "", "", refusePath(rest, labelled, label, word)
}

func operationOf(word string) (Operation, bool) {
	op := Operation(word)
	return op, operationFor(op) != nil
}

// validLabel reports whether s may be a label. Labels must not be operation names (RFC 7030, Section 3.2.2). A colon is
// taken because Aruba ClearPass has labels such as "ca:1".
func validLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s == "." || s == ".." || IsOperation(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

const sectionPath = "RFC 7030, Section 3.2.2"

func refusePrefix(escaped string) *Error {
	switch {
	case strings.Contains(escaped, "//"):
		return refuseSlash()
	case escaped == PathPrefix || escaped == PathPrefix+"/":
		return refuse(http.StatusNotFound, ReasonPathOperation, sectionPath,
			"This is where EST is served. Add an operation to the path: cacerts, csrattrs, simpleenroll or simplereenroll.")
	}
	return refuse(http.StatusNotFound, ReasonPathPrefix, sectionPath,
		"EST is served under "+PathPrefix+"/ only, and paths are compared letter by letter. Correct the URL.")
}

func refuseSlash() *Error {
	return refuse(http.StatusNotFound, ReasonPathSlash, sectionPath,
		"The path has a doubled slash, or one at its end. Write it as "+PathPrefix+"/OPERATION; a base URL is often configured with a slash too many.")
}

// refusePath says what is wrong with the part after the prefix. The order is fixed, so that each path has one reason.
func refusePath(rest string, labelled bool, label, word string) *Error {
	for segment := range strings.SplitSeq(rest, "/") {
		switch {
		case segment == "":
			return refuseSlash()
		case segment == "." || segment == "..":
			return refuse(http.StatusNotFound, ReasonPathDots, sectionPath,
				"The path has a dot segment. Paths are not resolved here; write it out.")
		case strings.Contains(segment, "%"):
			return refuse(http.StatusNotFound, ReasonPathEncoding, sectionPath,
				"The path has percent-encoded characters. No operation needs them, and no label may have them.")
		}
	}
	switch {
	case strings.Contains(word, "/"):
		return refuse(http.StatusNotFound, ReasonPathSegments, sectionPath,
			"The path has too many segments. At most one label stands before the operation, and nothing after it.")
	case labelled && !validLabel(label):
		return refuse(http.StatusNotFound, ReasonPathLabel, sectionPath,
			"The segment before the operation is not a label: 1 to 64 letters, digits, '.', '_', ':' or '-', and not the name of an operation.")
	case IsOperation(word):
		return refuse(http.StatusNotImplemented, ReasonOperationMissing, sectionPath,
			"This operation is not offered here. cacerts, csrattrs, simpleenroll and simplereenroll are.")
	}
	return refuse(http.StatusNotFound, ReasonPathOperation, sectionPath,
		"No such operation. There are cacerts, csrattrs, simpleenroll and simplereenroll, in lower case.")
}
