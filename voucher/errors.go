package voucher

import (
	"errors"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/strictjson"
)

// Errors of reading and writing the content, to be told apart with errors.Is.
// Those about one leaf come inside a [LeafError].
var (
	// ErrSyntax: not a JSON text (RFC 8259, Section 2), or text that is not UTF-8.
	ErrSyntax = strictjson.ErrSyntax
	// ErrTrailingData: bytes follow the JSON object.
	ErrTrailingData = strictjson.ErrTrailingData
	// ErrTooLarge: more bytes than MaxPayload or more members than MaxMembers.
	ErrTooLarge = strictjson.ErrTooLarge
	// ErrTooDeep: nested deeper than MaxDepth.
	ErrTooDeep = strictjson.ErrTooDeep
	// ErrRoot: the outer object is not exactly one container of the expected name.
	ErrRoot = errors.New("wrong container")
	// ErrDuplicateLeaf: a member name occurs twice in one object.
	ErrDuplicateLeaf = strictjson.ErrDuplicate
	// ErrMissingLeaf: a mandatory leaf is absent. For a voucher without any pin the leaf named is pinned-domain-cert.
	ErrMissingLeaf = errors.New("mandatory leaf is absent")
	// ErrLeafType: a leaf of another JSON type than its definition has.
	ErrLeafType = errors.New("wrong type")
	// ErrLeafValue: a leaf of the right type whose value is not allowed.
	ErrLeafValue = errors.New("value not allowed")
	// ErrBase64: a binary leaf that is not padded base64 in the standard alphabet (RFC 4648, Section 4).
	ErrBase64 = errors.New("not base64")
	// ErrDate: a date that is not RFC 3339 date-time (RFC 3339, Section 5.6).
	ErrDate = errors.New("not an RFC 3339 date")
	// ErrNonce: a nonce that is not of 8 to 32 bytes (RFC 8366, Section 5.3).
	ErrNonce = errors.New("nonce is not of 8 to 32 bytes")
	// ErrNonceWithExpiresOn: nonce and expires-on together (RFC 8366, Section 5.3).
	ErrNonceWithExpiresOn = errors.New("nonce and expires-on exclude each other")
	// ErrUnknownLeaf: a leaf that no module we know defines.
	ErrUnknownLeaf = errors.New("unknown leaf")
)

// ErrSigned: the artifact can be read and is not signed as it must be: the
// signature does not hold, the signer's certificate is not there, the algorithm
// is too weak. Every [Format] wraps it, besides its own sentinel that says which.
var ErrSigned = errors.New("not signed correctly")

// Errors about certificates.
var (
	// ErrNoMASAURL: the certificate has no MASA URL extension.
	ErrNoMASAURL = errors.New("certificate has no MASA URL extension")
	// ErrMASAURL: the MASA URL extension holds nothing that a registrar may contact.
	ErrMASAURL = errors.New("MASA URL not usable")
	// ErrSerialNumber: the certificate's subject has no serial number attribute, several, or one that is not allowed.
	ErrSerialNumber = errors.New("no usable serial number in the certificate's subject")
	// ErrTooManyCertificates: an artifact carries more than MaxCertificates, or a chain could run through more.
	ErrTooManyCertificates = errors.New("too many certificates")
)

// LeafError says which leaf an error is about.
type LeafError struct {
	Leaf string // its name, such as "serial-number"; at most 64 bytes of an unknown name
	Err  error  // wraps one of the sentinels of this package
}

// Error returns the text for people: the leaf and what is wrong with it.
func (e *LeafError) Error() string { return fmt.Sprintf("leaf %q: %v", e.Leaf, e.Err) }

// Unwrap returns e.Err.
func (e *LeafError) Unwrap() error { return e.Err }

func leafError(leaf string, err error) error {
	const limit = 64 // names of unknown leaves come from the peer and end in logs
	return &LeafError{Leaf: clip(leaf, limit), Err: err}
}

// clip shortens s, which comes from a peer, for an error text.
func clip(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
