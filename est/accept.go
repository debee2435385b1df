package est

import (
	"net/http"
	"strconv"
	"strings"
)

// acceptable is how much a client wants a media type by its Accept (RFC 9110, Section 12.5.1), 0 for not at all. Without
// the header, or with one that cannot be read, everything is wanted. Parameters but q do not count: smime-type for one.
// "*" is taken for "*/*", as the JDK's HttpURLConnection sends it.
func acceptable(accept []string, kind string) float64 {
	family, _, _ := strings.Cut(kind, "/")
	quality, best := 1.0, 0
	named := false
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		if strings.Trim(part, " \t") == "" {
			continue
		}
		named = true
		closeness := 0
		switch mediaType(part) {
		case kind:
			closeness = 3
		case family + "/*":
			closeness = 2
		case "*/*", "*":
			closeness = 1
		}
		switch q := weight(part); {
		case closeness > best:
			quality, best = q, closeness
		case closeness == best && closeness > 0:
			quality = max(quality, q)
		}
	}
	if named && best == 0 {
		return 0
	}
	return quality
}

// weight is the q of one element of Accept, 1 where there is none that can be read.
func weight(element string) float64 {
	for parameter := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(parameter, "=")
		if !ok || !strings.EqualFold(strings.Trim(name, " \t"), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.Trim(value, " \t\""), 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}

// checkAccept refuses a request whose answer its client will not take, before anything is issued that it would not get.
func (o *operation) checkAccept(h http.Header) *Error {
	accept := h["Accept"]
	if len(accept) == 0 || len(o.answers) == 0 {
		return nil
	}
	for _, kind := range o.answers {
		if acceptable(accept, kind) > 0 {
			return nil
		}
	}
	return refuse(http.StatusNotAcceptable, ReasonNotAcceptable, o.section,
		"The answer comes as "+strings.Join(o.answers, " or ")+", which Accept leaves out. Name it in Accept, or leave Accept out.")
}
