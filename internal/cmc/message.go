package cmc

import "encoding/asn1"

// PKIData is the content of a Full PKI Request (RFC 5272, Section 3.2.1).
type PKIData struct {
	Controls []Control
	Requests []Request
	Messages []Message
	Others   []OtherMessage
	// RawRequests is the reqSequence as received, tag and length included: what identity proofs are computed over. Unset in
	// a value that was not parsed; MarshalRequests makes it.
	RawRequests []byte
}

// PKIResponse is the content of a Full PKI Response (RFC 5272, Section 4.2).
type PKIResponse struct {
	Controls []Control
	Messages []Message
	Others   []OtherMessage
}

// Message is a TaggedContentInfo of cmsSequence (RFC 5272, Section 3.2.1.3): a CMS object inside a message.
type Message struct {
	ID BodyPartID
	// ContentInfo is the object as received, DER, unparsed. A nested Full PKI Request is opened by FullRequest.OpenNested.
	ContentInfo []byte
}

// OtherMessage is an OtherMsg (RFC 5272, Section 3.2.1.4). No type is defined; what to do with one is for the caller.
type OtherMessage struct {
	ID    BodyPartID
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}

// ParsePKIData reads a PKIData of at most MaxSize bytes in DER; BER of definite or indefinite lengths is read as well, and
// RawRequests are then the bytes as sent. It checks the rules of bodyPartIDs (unique, and not 0), that a control that occurs once
// does, and that known controls are well-formed. Unknown controls are kept (see Control.Known).
//
// Errors are *Error: badRequest, with the parts at fault; ErrSyntax, ErrTooLarge, ErrBodyPartID, ErrDuplicateControl,
// ErrTemplate.
func ParsePKIData(data []byte) (*PKIData, error) { return nil, fail(FailBadRequest, ErrSyntax) }

// Marshal returns the PKIData in DER. Requests and messages that were parsed are written as they were received. Errors: ErrBuild,
// ErrBodyPartID.
func (d *PKIData) Marshal() ([]byte, error) { return nil, ErrBuild }

// MarshalRequests returns the reqSequence in DER, tag and length included: what identity proofs are computed over before
// the message is complete. Errors: ErrBuild.
func (d *PKIData) MarshalRequests() ([]byte, error) { return nil, ErrBuild }

// Request returns the request with the bodyPartID, or nil.
func (d *PKIData) Request(id BodyPartID) *Request { return nil }

// Unknown returns the bodyPartIDs of the controls that this package does not know and that no ControlProcessed control of the
// same message names (RFC 5272, Section 3.2.1.1): not empty means that the whole message is to be refused, unless the caller
// knows them.
func (d *PKIData) Unknown() []BodyPartID { return nil }

// ParsePKIResponse reads a PKIResponse, as ParsePKIData does a PKIData. Errors are *Error.
func ParsePKIResponse(data []byte) (*PKIResponse, error) { return nil, fail(FailBadRequest, ErrSyntax) }

// Marshal returns the PKIResponse in DER. Errors: ErrBuild, ErrBodyPartID.
func (r *PKIResponse) Marshal() ([]byte, error) { return nil, ErrBuild }

// Statuses returns the status controls in order, old and new.
func (r *PKIResponse) Statuses() []*StatusInfo { return nil }
