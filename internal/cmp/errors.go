package cmp

import "errors"

// Errors of this package, to be told apart with errors.Is. Every error returned for received bytes wraps one of them or one of
// package cms.
var (
	// ErrSyntax: the bytes are not the DER of what was asked for.
	ErrSyntax = errors.New("cmp: malformed message")
	// ErrTooLarge: more bytes or elements than the limits in limits.go.
	ErrTooLarge = errors.New("cmp: message beyond its limits")
	// ErrVersion: a pvno other than 2 and 3.
	ErrVersion = errors.New("cmp: unknown version")
	// ErrKind: a body of another kind than was asked for.
	ErrKind = errors.New("cmp: another kind of message")
	// ErrUnprotected: the message has no protection.
	ErrUnprotected = errors.New("cmp: the message is not protected")
	// ErrProtection: the protection is not that of the given key or secret over this message.
	ErrProtection = errors.New("cmp: the message's protection does not verify")
	// ErrWeakAlgorithm: an algorithm that is known and refused for its weakness.
	ErrWeakAlgorithm = errors.New("cmp: algorithm is too weak")
	// ErrUnsupportedAlgorithm: an algorithm this package does not implement.
	ErrUnsupportedAlgorithm = errors.New("cmp: unsupported algorithm")
	// ErrBuild: what is to be built is incomplete. Only for bytes of our own.
	ErrBuild = errors.New("cmp: invalid value to encode")
)
