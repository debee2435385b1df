package cmc

import (
	"encoding/asn1"
	"fmt"
	"slices"

	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

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

// ParsePKIData reads a PKIData of at most MaxSize bytes. It must be DER: identity proofs are computed over its bytes, and
// every implementation agrees about them only then. ParsePKIData checks the rules of bodyPartIDs (unique, and not 0), that a
// control that occurs once does, and that known controls are well-formed. Unknown controls are kept (see Control.Known).
//
// Errors are *Error: badRequest, with the parts at fault; ErrSyntax, ErrTooLarge, ErrBodyPartID, ErrDuplicateControl,
// ErrMisplaced, ErrTemplate.
func ParsePKIData(data []byte) (*PKIData, error) {
	p := parser{}
	d := &PKIData{}
	err := p.parse(data, "PKIData", func(body *input) {
		d.Controls = p.controls(body)
		d.RawRequests = body.element(cryptobyte_asn1.SEQUENCE, "reqSequence")
		if body.ok() {
			d.Requests = p.requests(&input{s: d.RawRequests, err: body.err})
		}
		d.Messages, d.Others = p.messages(body), p.others(body)
	})
	if err == nil {
		err = p.misplaced(d.Controls, arcResponseBody)
	}
	if err != nil {
		err.Received = d
		return nil, err
	}
	return d, nil
}

// ParsePKIResponse reads a PKIResponse, as ParsePKIData does a PKIData. Errors are *Error.
func ParsePKIResponse(data []byte) (*PKIResponse, error) {
	p := parser{}
	r := &PKIResponse{}
	err := p.parse(data, "PKIResponse", func(body *input) {
		r.Controls, r.Messages, r.Others = p.controls(body), p.messages(body), p.others(body)
	})
	if err == nil {
		err = p.misplaced(r.Controls, arcRAIdentityWitness)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// parser reads the sequences of a message. It goes on after what is wrong with one part, so that a response can name all of
// them, and stops at what makes the rest unreadable.
type parser struct {
	parts int
	seen  map[BodyPartID]bool
	once  map[string]bool
	bad   *Error // what is wrong with parts
}

// parse reads a SEQUENCE and judges.
func (p *parser) parse(data []byte, what string, f func(*input)) *Error {
	if err := wellFormed(data); err != nil {
		return fail(FailBadRequest, err)
	}
	p.seen, p.once = make(map[BodyPartID]bool), make(map[string]bool)
	err := decode(data, what, func(in *input) {
		body := in.sequence(what)
		f(body)
		body.end(what)
	})
	switch {
	case p.bad != nil:
		return p.bad
	case err != nil:
		return fail(FailBadRequest, err)
	}
	return nil
}

// refuse remembers that a part is wrong. The first reason is the one that is reported.
func (p *parser) refuse(id BodyPartID, err error) {
	if p.bad == nil {
		p.bad = fail(FailBadRequest, err, id)
		return
	}
	if path := (BodyPartPath{id}); !slices.ContainsFunc(p.bad.Bodies, func(b BodyPartPath) bool { return slices.Equal(b, path) }) {
		p.bad.Bodies = append(p.bad.Bodies, path)
	}
}

// each reads a SEQUENCE OF and hands every member to f, tag and length included.
func (p *parser) each(in *input, what string, f func(der []byte)) {
	for list := in.sequence(what); list.more(); {
		if p.parts++; p.parts > MaxBodyParts {
			list.broken(ErrTooLarge, fmt.Sprintf("more than %d parts", MaxBodyParts))
			return
		}
		if der := list.anything(what); list.ok() {
			f(der)
		}
	}
}

// unique checks a bodyPartID (RFC 5272, Section 3.2.2): 0 stands for the message itself.
func (p *parser) unique(id BodyPartID) {
	switch {
	case id == 0:
		p.refuse(id, fmt.Errorf("%w: 0", ErrBodyPartID))
	case p.seen[id]:
		p.refuse(id, fmt.Errorf("%w: %d occurs twice", ErrBodyPartID, id))
	}
	p.seen[id] = true
}

func (p *parser) controls(in *input) []Control {
	var out []Control
	p.each(in, "controlSequence", func(der []byte) {
		c, err := parseControl(der)
		if err != nil {
			p.refuse(c.ID, err)
			return
		}
		p.unique(c.ID)
		if oid := c.Value.OID().String(); occursOnce(c.Value) {
			if p.once[oid] {
				p.refuse(c.ID, fmt.Errorf("%w: %s", ErrDuplicateControl, oid))
			}
			p.once[oid] = true
		}
		out = append(out, c)
	})
	return out
}

// occursOnce tells which controls mean nothing when there are two of them: who is the sender, what is the transaction, what
// is the nonce, which proof counts. RFC 5272, Section 6, does not say it of each; a second one is refused, because two
// readers might take different ones.
func occursOnce(v ControlValue) bool {
	switch v.(type) {
	case Identification, IdentityProof, *IdentityProofV2, *TransactionID, SenderNonce, RecipientNonce, POPLinkRandom, *TrustAnchors:
		return true
	}
	return false
}

// misplaced refuses the control that RFC 6402, Section 2, keeps for the other kind of message.
func (p *parser) misplaced(controls []Control, arc int) *Error {
	for i := range controls {
		if controls[i].Value.OID().Equal(idCMC(arc)) {
			return fail(FailBadRequest, fmt.Errorf("%w: %s", ErrMisplaced, idCMC(arc)), controls[i].ID)
		}
	}
	return nil
}

func (p *parser) requests(in *input) []Request {
	var out []Request
	p.each(in, "reqSequence", func(der []byte) {
		r, err := parseRequest(der)
		if err != nil {
			p.refuse(r.ID, err)
			return
		}
		p.unique(r.ID)
		out = append(out, r)
	})
	return out
}

func (p *parser) messages(in *input) []Message {
	var out []Message
	p.each(in, "cmsSequence", func(der []byte) {
		var m Message
		err := decode(der, "member of cmsSequence", func(in *input) {
			body := in.sequence("member of cmsSequence")
			m = Message{ID: body.bodyPart(), ContentInfo: body.element(cryptobyte_asn1.SEQUENCE, "ContentInfo")}
			body.end("member of cmsSequence")
		})
		if err != nil {
			p.refuse(m.ID, err)
			return
		}
		p.unique(m.ID)
		out = append(out, m)
	})
	return out
}

func (p *parser) others(in *input) []OtherMessage {
	var out []OtherMessage
	p.each(in, "otherMsgSequence", func(der []byte) {
		var m OtherMessage
		err := decode(der, "other message", func(in *input) {
			body := in.sequence("other message")
			m = OtherMessage{ID: body.bodyPart(), Type: body.oid("type of another message"), Value: body.anything("other message")}
			body.end("other message")
		})
		if err != nil {
			p.refuse(m.ID, err)
			return
		}
		p.unique(m.ID)
		out = append(out, m)
	})
	return out
}

// Request returns the request with the bodyPartID, or nil.
func (d *PKIData) Request(id BodyPartID) *Request {
	for i := range d.Requests {
		if d.Requests[i].ID == id {
			return &d.Requests[i]
		}
	}
	return nil
}

// Message returns the member of cmsSequence with the bodyPartID, or nil.
func (d *PKIData) Message(id BodyPartID) *Message {
	for i := range d.Messages {
		if d.Messages[i].ID == id {
			return &d.Messages[i]
		}
	}
	return nil
}

// Unknown returns the bodyPartIDs of the controls that this package does not know and that no ControlsProcessed control of the
// same message names (RFC 5272, Section 3.2.1.1): not empty means that the whole message is to be refused, unless the caller
// knows them. A caller that does not take the sender's word for what is processed looks at Control.Known.
func (d *PKIData) Unknown() []BodyPartID {
	var ids []BodyPartID
	for i := range d.Controls {
		if c := &d.Controls[i]; !c.Known() && !d.Processed(BodyPartPath{c.ID}) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Processed tells whether a ControlsProcessed control of this message names the path: {id} for a control of its own,
// {message, id} for one in a message nested in it. Whether its sender may say so is for the caller.
func (d *PKIData) Processed(path BodyPartPath) bool {
	for i := range d.Controls {
		if processed, ok := d.Controls[i].Value.(ControlsProcessed); ok {
			if slices.ContainsFunc(processed, func(p BodyPartPath) bool { return slices.Equal(p, path) }) {
				return true
			}
		}
	}
	return false
}

// Statuses returns the status controls in order, old and new.
func (r *PKIResponse) Statuses() []*StatusInfo { return Values[*StatusInfo](r.Controls) }

// Values returns the values of the controls that are of type T, in order.
func Values[T ControlValue](controls []Control) []T {
	var out []T
	for i := range controls {
		if v, ok := controls[i].Value.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

// Find returns the first control whose value is of type T, with the control's bodyPartID, or false.
func Find[T ControlValue](controls []Control) (value T, id BodyPartID, ok bool) {
	for i := range controls {
		if v, is := controls[i].Value.(T); is {
			return v, controls[i].ID, true
		}
	}
	return value, 0, false
}
