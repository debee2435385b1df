package registrar

import (
	"context"
	"net/http"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// Bounds of one Full PKI Request, the messages that are nested in it included.
const (
	maxCMCRequests = 64 // certification requests
	maxCMCMessages = 64 // messages, each with a signature of its own
	maxCMCControls = 256
	maxCMCOrders   = 1024 // of RAs about requests
)

// FullCMC implements est.FullCMCer (RFC 7030, Section 4.3; RFC 5272). Parsed,
// checked and authenticated is the message as a whole, and the signer of the
// answer is seen to work, before anything in it is acted on. Each certification
// request is then decided as simpleenroll would decide it: same identities, same
// policy, same record.
//
// Who asks is the signer of the message, in place of the TLS client certificate.
// Where both are there they are the same, or that of the connection is an RA's.
// A message that is signed with the key to be certified says nothing about who
// asks: then it is the shared secret of its identity proof, or else the
// connection's certificate or HTTP credentials.
func (s *Service) FullCMC(ctx context.Context, r *est.CMCRequest) (*est.CMCAnswer, error) {
	v := s.current.Load()
	base := s.estCase(v, &r.Request)
	base.Road = "cmc"
	switch {
	case base.Label == nil:
		return nil, deny(ReasonUnknownLabel, "label").answer(base)
	case !base.Label.FullCMC:
		return nil, notOffered()
	}
	x := &cmcExchange{s: s, v: v, r: r, base: base}
	m := &cmcMessage{c: base}
	// A certificate that nobody could be told of is not issued (RFC 5272, Section
	// 3.2.1.3.4, has a word for it).
	if err := v.cmc.probe.ready(v.cmc, s.now()); err != nil {
		return nil, x.unsigned(ctx, m, err)
	}
	if d := s.addressBudget(v, base, true); d != nil {
		m.failed = refuseParts(d)
		x.record(ctx, base, m.failed)
	} else if m.failed = x.open(ctx, m); m.failed == nil {
		x.act(ctx, m)
	}
	return x.reply(ctx, m)
}

// cmcExchange is one Full PKI Request on its way.
type cmcExchange struct {
	s    *Service
	v    *version
	r    *est.CMCRequest
	base *Case // of the message as a whole

	relayed  bool // an RA's connection brings what somebody else has signed
	requests int  // certification requests, in all messages
	messages int
	ordered  int
	decided  int // certification requests
}

// cmcMessage is a PKIData with all around it.
type cmcMessage struct {
	parent *cmcMessage
	path   cmc.BodyPartPath // from the outermost message; empty for that
	full   *cmc.FullRequest
	data   *cmc.PKIData // nil until it could be read

	cmcControls
	nested   []*cmcMessage
	requests []*cmcRequest

	c      *Case     // who asks
	denied *Decision // why nobody who counts does
	own    *cmcOwner // whose certificate has signed; nil for nobody's

	// What becomes of it:
	failed  *refused // the whole
	granted []cmc.BodyPartID
	refused []*refused
	issued  [][]byte
	found   [][]byte // certificates that were asked for
	crls    [][]byte
}

// id is the message's body part in its parent.
func (m *cmcMessage) id() cmc.BodyPartID { return m.path[len(m.path)-1] }

// ra tells whether an RA of this network has signed the message, and may speak
// for others here: not with a certificate that has ended, though that may renew itself.
func (m *cmcMessage) ra() bool {
	return m.denied == nil && m.owned() && m.own.c.Identity.Kind == RA && m.own.c.Label.RA && !m.c.At.After(m.own.certificate.NotAfter)
}

// all calls do for the message and those nested in it.
func (m *cmcMessage) all(do func(m *cmcMessage)) {
	do(m)
	for _, inner := range m.nested {
		inner.all(do)
	}
}

// act does what the message asks for, controls first (RFC 5272, Section 3.2.1).
func (x *cmcExchange) act(ctx context.Context, m *cmcMessage) {
	for i := range m.acts {
		x.control(ctx, m, &m.acts[i])
	}
	for _, q := range m.requests {
		x.request(ctx, m, q)
	}
	for _, inner := range m.nested {
		if inner.failed == nil {
			x.act(ctx, inner)
		}
	}
}

// grant notes that a part was done.
func (m *cmcMessage) grant(id cmc.BodyPartID) { m.granted = append(m.granted, id) }

// refuse notes that a part was not, and puts it on the trail.
func (x *cmcExchange) refuse(ctx context.Context, m *cmcMessage, c *Case, f *refused) {
	x.record(ctx, c, f)
	m.refused = append(m.refused, f)
}

// record puts a refusal on the trail if the peer is authenticated; that of others
// gets there through Refused.
func (x *cmcExchange) record(ctx context.Context, c *Case, f *refused) {
	f.e = asRefusal(x.s.refuse(ctx, c, f.d), f.d, c)
	if f.d.Verdict == Wait {
		f.status = cmc.StatusPending
	}
}

// outcome is what HTTP says: nil where something was granted or nothing asked,
// else that somebody has to decide, else the first refusal.
func (m *cmcMessage) outcome() *est.Error {
	var first, waits *est.Error
	granted := false
	m.all(func(m *cmcMessage) {
		granted = granted || len(m.granted) > 0
		for _, f := range m.refusals() {
			if f.e.Status == http.StatusAccepted && waits == nil {
				waits = f.e
			}
			if first == nil {
				first = f.e
			}
		}
	})
	switch {
	case granted:
		return nil
	case waits != nil:
		return waits
	default:
		return first
	}
}

func (m *cmcMessage) refusals() []*refused {
	if m.failed != nil {
		return []*refused{m.failed}
	}
	return m.refused
}
