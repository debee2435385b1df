package profile

import (
	"errors"
	"fmt"

	"github.com/briskest/briskest/ca"
)

// What is wrong with a name. Each comes within a *[NameError].
var (
	// ErrNameType says that the profile takes no name of this type.
	ErrNameType = errors.New("the profile takes no name of this type")
	// ErrNameValue says that the value is no name of its type or holds
	// characters that names may not hold.
	ErrNameValue = errors.New("the value is not allowed")
	// ErrNamePattern says that the value matches none of the profile's patterns.
	ErrNamePattern = errors.New("the value matches no pattern of the profile")
	// ErrNameCount says that there are more names of a type than the profile takes.
	ErrNameCount = errors.New("there are too many")
	// ErrNameMissing says that a name the profile demands is absent.
	ErrNameMissing = errors.New("it is required and missing")
	// ErrNameDiffers says that the profile fixes another value.
	ErrNameDiffers = errors.New("the profile gives another value")
	// ErrNameEncoding says that subject or SubjectAltName cannot be read.
	ErrNameEncoding = errors.New("it cannot be read")
)

// What is wrong with a key. Each comes wrapped together with [ca.ErrRejected].
var (
	// ErrKeyType says that the profile takes no key of this kind or curve.
	ErrKeyType = errors.New("the profile takes no such key")
	// ErrKeyUsage says that certificates get none of the key usages asked for.
	ErrKeyUsage = errors.New("the key usage is not allowed")
	// ErrKeySize says that an RSA modulus is too short or too long.
	ErrKeySize = errors.New("the key's size is not allowed")
	// ErrKeyWeak says that the key is known to be breakable or malformed.
	ErrKeyWeak = errors.New("the key is weak")
	// ErrKeyBlocked says that somebody else is known to have the private key.
	ErrKeyBlocked = errors.New("the key is publicly known")
)

// ErrDocument is wrapped by every error of a document that [New] refuses.
var ErrDocument = errors.New("profile")

// NameError is a refused name. It wraps one of the ErrName errors and [ca.ErrRejected].
type NameError struct {
	Type  string // as in the document, such as "common_name", "dns", "ip"
	Value string // as requested; empty when none
	Hint  string // more for the reader; may be empty
	Kind  error  // one of the ErrName errors
}

// Error says which name was refused and why.
func (e *NameError) Error() string {
	text := e.Type
	if e.Value != "" {
		text += fmt.Sprintf(" %.80q", e.Value)
	}
	text += ": " + e.Kind.Error()
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the kind and ca.ErrRejected.
func (e *NameError) Unwrap() []error { return []error{e.Kind, ca.ErrRejected} }

// rejected is an error of a request that breaks its profile.
func rejected(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %w: %s", ca.ErrRejected, kind, fmt.Sprintf(format, args...))
}

// documentError is an error of a document, with the field's path in it.
func documentError(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDocument, field, fmt.Sprintf(format, args...))
}
