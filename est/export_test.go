package est

import "time"

// What tests see of the inside.
var (
	ParsePath         = parsePath
	DecodeBase64      = decodeBase64
	AppendBase64      = appendBase64
	CanonicalName     = canonicalName
	CanonicalAltNames = canonicalAltNames
	CanonicalURI      = canonicalURI
	Printable         = printable
	ParseRetryAfter   = func(v string, now time.Time) time.Duration { return parseRetryAfter(v, now) }
)
