package cmc

import (
	"errors"
	"fmt"
)

// Errors of this package, to be told apart with errors.Is. Those of package cms come through as well.
var (
	// ErrSyntax: the bytes are not the DER of what was asked for.
	ErrSyntax = errors.New("cmc: malformed encoding")
	// ErrTooLarge: more bytes, parts or levels than the limits in limits.go.
	ErrTooLarge = errors.New("cmc: too large")
	// ErrBodyPartID: a bodyPartID occurs twice in one message, or is 0 (RFC 5272, Section 3.2.2).
	ErrBodyPartID = errors.New("cmc: bodyPartID is not unique or 0")
	// ErrReference: something names what is not in the message.
	ErrReference = errors.New("cmc: no such part in the message")
	// ErrMisplaced: a control in a PKIData that only a PKIResponse may have, or the other way round.
	ErrMisplaced = errors.New("cmc: control in the wrong kind of message")
	// ErrDuplicateControl: a control that occurs once occurs twice.
	ErrDuplicateControl = errors.New("cmc: control is not unique")
	// ErrNotRequest: CMS that is no Full PKI Request.
	ErrNotRequest = errors.New("cmc: not a Full PKI Request")
	// ErrNotResponse: CMS that is neither a Full nor a Simple PKI Response.
	ErrNotResponse = errors.New("cmc: not a PKI Response")
	// ErrAuthenticatedData: the message is AuthenticatedData, which this package does not open (RFC 5272, Section 3.2,
	// leaves the choice; EST signs). The sender may use SignedData instead.
	ErrAuthenticatedData = errors.New("cmc: AuthenticatedData is not supported, use SignedData")
	// ErrUnsigned: a Full PKI Request that nobody signed, and that is not a revocation request with a passphrase.
	ErrUnsigned = errors.New("cmc: the request has no signer")
	// ErrNoSignerKey: a signer is neither a certificate in the message or known to the caller, nor the key of a request inside.
	ErrNoSignerKey = errors.New("cmc: the signer's key is not in the message")
	// ErrSigners: a message signed with the requested key has more than one signer (RFC 5272, Section 3.2).
	ErrSigners = errors.New("cmc: a request signed with its own key has exactly one signer")
	// ErrUnsignedData: the CMC Unsigned Data attribute breaks RFC 5272, Section 3.2.3: more than one, or not the same in all
	// signers.
	ErrUnsignedData = errors.New("cmc: CMC Unsigned Data attribute is not unique")
	// ErrTemplate: a CRMF template that says what only the server may say, or lacks the public key.
	ErrTemplate = errors.New("cmc: certificate template not acceptable")
	// ErrPOP: proof of possession is absent or wrong.
	ErrPOP = errors.New("cmc: no proof of possession")
	// ErrProof: an identity proof or a POP link witness was not made with this secret over these bytes.
	ErrProof = errors.New("cmc: proof does not verify")
	// ErrSecret: a shared secret too short or too long to be used.
	ErrSecret = errors.New("cmc: shared secret of unusable length")
	// ErrWeakAlgorithm: an algorithm that is known and refused for its weakness, such as SHA-1, unless Legacy is set.
	ErrWeakAlgorithm = errors.New("cmc: algorithm is too weak")
	// ErrUnsupportedAlgorithm: an algorithm this package does not implement.
	ErrUnsupportedAlgorithm = errors.New("cmc: unsupported algorithm")
	// ErrEncrypted: the request is enveloped, and none of the given keys opens it.
	ErrEncrypted = errors.New("cmc: the request is encrypted for somebody else")
	// ErrMediaType: a content type that is not one of RFC 5273, Section 3.
	ErrMediaType = errors.New("cmc: not a media type of CMC")
	// ErrBuild: what is to be built is incomplete or contradicts itself. Only for bytes of our own.
	ErrBuild = errors.New("cmc: invalid value to encode")
)

// Error is what is wrong with a message that was received, in the words that a PKI Response has for it. Every error that
// a function of this package returns for received bytes is one, to be found with errors.As.
type Error struct {
	// FailInfo is what a response says (RFC 5272, Section 6.1.4).
	FailInfo FailInfo
	// Status is StatusFailed, or StatusNoSupport.
	Status Status
	// Bodies are what the response's bodyList says: the parts at fault, {0} for the message itself.
	Bodies []BodyPartPath
	// Received is what could be read of the request before, nil when nothing could: good for repeating its transaction
	// identifier, nonces and returned data in the answer, and for nothing else.
	Received *PKIData
	// Err is the cause; it wraps a sentinel of this package or of package cms.
	Err error
}

// Error returns the cause's text, with the body parts at fault.
func (e *Error) Error() string {
	return fmt.Sprintf("%v (%s at body part %v)", e.Err, e.FailInfo, e.Bodies)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusInfo returns the control that reports the error; its text is left for the caller to choose.
func (e *Error) StatusInfo() *StatusInfo {
	return &StatusInfo{Status: e.Status, Bodies: e.Bodies, FailInfo: &e.FailInfo}
}

// fail makes an Error about body parts; none means the message itself.
func fail(info FailInfo, err error, ids ...BodyPartID) *Error {
	e := &Error{FailInfo: info, Status: StatusFailed, Err: err}
	for _, id := range ids {
		e.Bodies = append(e.Bodies, BodyPartPath{id})
	}
	if len(ids) == 0 {
		e.Bodies = []BodyPartPath{{0}}
	}
	return e
}
