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

// ParseKeyGenCSR reads the CSR of a serverkeygen.
func ParseKeyGenCSR(der []byte) (*KeyRequest, error) {
	r := new(KeyRequest)
	if e := r.parse(der); e != nil {
		return nil, e
	}
	return r, nil
}

// ParseKeyReceipt reads what a client returns.
func ParseKeyReceipt(der []byte) error {
	if e := (&KeyReceipt{Raw: der}).parse(); e != nil {
		return e
	}
	return nil
}
