package registrar

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// cmcRequest is one certification request of a message.
type cmcRequest struct {
	id      cmc.BodyPartID
	request *cmc.Request

	// What an RA says about it:
	witnessed bool      // possession of the key was checked (RFC 5272, Section 6.8)
	by        *Case     // whose word the request has become; nil for its sender's
	changes   []changes // of names and extensions

	asked    *est.CSR  // see parsed
	unread   *Decision // see parsed
	csr      *est.CSR  // what is asked for, after the changes
	evidence []byte    // to be kept while it waits; nil for what simpleenroll keeps
	repeat   []byte    // what asks for it once more
	linked   bool      // by a POP link witness that verifies
	denied   *Decision
}

// read reads what is asked for and verifies that the sender has the key.
func (q *cmcRequest) read(m *cmcMessage) {
	if q.denied = q.possession(m); q.denied != nil {
		return
	}
	if q.csr, q.denied = q.parsed(); q.denied != nil {
		return
	}
	if q.repeat = q.csr.Raw; q.request.CRMF != nil {
		q.repeat = q.request.Raw
		q.evidence, q.denied = crmfEvidence(q)
	}
	if q.denied == nil && len(q.changes) > 0 {
		q.denied = q.change()
	}
}

// parsed is what the request asks for, before any changes; it is read once.
func (q *cmcRequest) parsed() (*est.CSR, *Decision) {
	if q.asked == nil && q.unread == nil {
		q.asked, q.unread = asked(q.request)
	}
	return q.asked, q.unread
}

// possession verifies the proof of possession of the private key. What nobody has
// signed is taken on the word of an RA only: that it has checked the request
// of another, or that it has signed the message that says so itself.
func (q *cmcRequest) possession(m *cmcMessage) *Decision {
	if q.request.PKCS10 != nil {
		return nil // asked verifies it, whoever has done so before
	}
	const rule = "cmc-pop"
	switch q.request.POP() {
	case cmc.POPSignature:
		if err := q.request.VerifyPOP(); err != nil {
			f := malformed(err)
			f.d.Rule = rule
			return f.d
		}
		return nil
	case cmc.POPRAVerified, cmc.POPNone:
		if q.witnessed || q.request.POP() == cmc.POPRAVerified && m.ra() {
			return nil
		}
	case cmc.POPEncryption:
		if q.witnessed {
			return nil
		}
	}
	return deny(ReasonCMCPOPRequired, rule)
}

// request decides about one certification request, and issues.
func (x *cmcExchange) request(ctx context.Context, m *cmcMessage, q *cmcRequest) {
	c := x.caseOf(m, q)
	d := x.admit(m, c, q)
	if d == nil {
		var raw []byte
		if raw, d = x.s.enrollCSR(ctx, x.v, c, q.csr); d == nil {
			m.issued = append(m.issued, raw)
			m.grant(q.id)
			return
		}
	}
	f := refuseParts(d, q.id)
	if d.Verdict == Wait {
		f.token = x.token(ctx, c, q.repeat)
		d.RetryAfter = orDefault(d.RetryAfter, x.v.Limits.PollAfter)
	}
	x.refuse(ctx, m, c, f)
}

// caseOf is the case of one request: the message's, but for whose word it is
// and whether it renews the certificate that asks.
func (x *cmcExchange) caseOf(m *cmcMessage, q *cmcRequest) *Case {
	c := *m.c
	if q.by != nil {
		c = *q.by
		c.Operation = OpEnroll
	}
	if q.csr == nil {
		return &c
	}
	c.CSR, c.Evidence = q.csr.CertificateRequest, q.evidence
	if c.Identity.Kind == RA {
		itself := q.by == nil && m.owned() && m.own.certificate.Equal(c.Identity.Certificate)
		if c.Operation = OpEnroll; itself && est.SameNames(q.csr.CertificateRequest, c.Identity.Certificate) == nil {
			c.Operation = OpRenew
		}
	}
	return &c
}

// admit refuses what simpleenroll would refuse before it looks at the names.
func (x *cmcExchange) admit(m *cmcMessage, c *Case, q *cmcRequest) *Decision {
	x.decided++
	if x.decided > 1 { // the message as a whole counted as the first
		if d := x.s.addressBudget(x.v, c, true); d != nil {
			return d
		}
	}
	switch {
	case m.denied != nil && q.by == nil:
		return m.denied
	case q.denied != nil:
		return q.denied
	}
	if d := x.checkPOPLink(m, q); d != nil {
		return d
	}
	return x.checkLink(m, c, q)
}

// checkLink compares the request's link with the connection, where it is the
// sender's own. A POP link witness is one (RFC 5272, Section 6.3.1).
func (x *cmcExchange) checkLink(m *cmcMessage, c *Case, q *cmcRequest) *Decision {
	if m.parent != nil || x.relayed || q.by != nil {
		return nil
	}
	if q.linked && q.csr.ChallengePassword == "" && q.csr.IdentityLinking == "" {
		return nil
	}
	label := *c.Label
	label.Link.KeepConnection = label.Link.KeepConnection || x.r.Linked()
	return checkBinding(&label, c, x.r.Enrollment(q.csr))
}

// checkPOPLink verifies the witness that each request of a message with POP
// Link Random must have (RFC 5272, Section 6.3.1).
func (x *cmcExchange) checkPOPLink(m *cmcMessage, q *cmcRequest) *Decision {
	const rule = "cmc-pop-link"
	witness, old, err := q.request.POPLink()
	switch {
	case err != nil:
		return denyErr(ReasonCMCPOPLink, rule, err)
	case m.linkRandom == nil && witness == nil && old == nil:
		return nil
	case m.linkRandom == nil || witness == nil && old == nil:
		return deny(ReasonCMCPOPLink, rule)
	}
	k, known := x.v.cmc.secret(m.identification)
	shared := x.v.cmc.shared(k, m.identification)
	if witness != nil {
		err = witness.Verify(m.linkRandom, shared)
	}
	if err == nil && old != nil {
		err = old.Verify(m.linkRandom, shared)
	}
	if err != nil || !known || !x.base.Label.SharedSecret {
		return denyErr(ReasonCMCPOPLink, rule, err)
	}
	q.linked = true
	return nil
}

// token is what a waiting request is asked about with: the name of its row on
// record. Where what it waits for has no row, another system's answer say, it is
// the request itself, as long as a token may be so long.
func (x *cmcExchange) token(ctx context.Context, c *Case, repeat []byte) []byte {
	p := c.pending()
	row, err := x.s.store.PendingByKey(ctx, x.v.Domain, p.Kind, p.Key)
	switch {
	case err == nil:
		return []byte(row.ID)
	case len(repeat)+len(tokenRepeats) <= cmc.MaxOctets:
		return append([]byte(tokenRepeats), repeat...)
	default:
		return []byte(tokenNone)
	}
}

// What a token is that is not the ID of a row.
const (
	tokenRepeats = "request:"
	tokenNone    = "send-the-request-again"
)

// checkExtensions refuses a request for a critical extension that no profile
// knows (RFC 5272, Section 3.1): its sender says that a certificate without it
// is of no use. What else a request asks for is the profile's to grant.
func checkExtensions(csr *x509.CertificateRequest) *Decision {
	for _, e := range csr.Extensions {
		if e.Critical && !knownExtension(e.Id) {
			return denyText(ReasonExtension, "extensions", Explain(ReasonExtension).Message+": "+e.Id.String())
		}
	}
	return nil
}

// knownExtension tells whether it is one of RFC 5280, Section 4.2.
func knownExtension(id asn1.ObjectIdentifier) bool {
	switch id.String() {
	case "2.5.29.9", "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.18", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.32",
		"2.5.29.33", "2.5.29.35", "2.5.29.36", "2.5.29.37", "2.5.29.46", "2.5.29.54", "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.11":
		return true
	}
	return false
}

// retryAt is when to ask again, in whole seconds.
func retryAt(c *Case, after time.Duration) time.Time {
	return c.At.UTC().Add(after).Truncate(time.Second)
}
