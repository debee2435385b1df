package cmp

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Poll is one element of a pollRep (RFC 4210, Section 5.3.22).
type Poll struct {
	RequestID int64
	After     time.Duration // checkAfter, whole seconds; not negative
	Reason    []string      // the peer's
}

// NewPollReq is the body of a pollReq about one request.
func NewPollReq(requestID int64) Body {
	return listBody(PollReq, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(requestID) })
	})
}

// PollReq reads the body of a pollReq about one request: its certReqId. Errors: ErrKind, ErrSyntax.
func (m *Message) PollReq() (requestID int64, err error) {
	if err := m.expect(PollReq); err != nil {
		return 0, err
	}
	return requestID, read(m.Body, "PollReqContent", func(r *reader) {
		list := r.sequence("PollReqContent")
		one := list.sequence("PollReqContent")
		requestID = one.integer("certReqId")
		one.end("PollReqContent")
		list.end("PollReqContent")
	})
}

// NewPollRep is the body of a pollRep.
func NewPollRep(polls ...Poll) Body {
	return listBody(PollRep, func(b *cryptobyte.Builder) {
		for _, p := range polls {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(p.RequestID)
				b.AddASN1Int64(int64(p.After / time.Second))
				if len(p.Reason) > 0 {
					addTexts(b, p.Reason)
				}
			})
		}
	})
}

// PollRep reads the body of a pollRep. Errors: ErrKind, ErrSyntax, ErrTooLarge.
func (m *Message) PollRep() ([]Poll, error) {
	if err := m.expect(PollRep); err != nil {
		return nil, err
	}
	var polls []Poll
	return polls, read(m.Body, "PollRepContent", func(r *reader) {
		list := r.sequence("PollRepContent")
		for list.more() {
			if len(polls) == MaxResponses {
				list.broken(ErrTooLarge, "PollRepContent")
				return
			}
			one := list.sequence("PollRepContent")
			p := Poll{RequestID: one.integer("certReqId")}
			p.After = time.Duration(min(max(one.integer("checkAfter"), 0), MaxCheckAfter)) * time.Second
			if one.more() {
				p.Reason = one.texts("reason")
			}
			one.end("PollRepContent")
			polls = append(polls, p)
		}
	})
}
