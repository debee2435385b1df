package registrar

import (
	"crypto/x509/pkix"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cmc"
)

// changes are what an RA changes in requests (RFC 5272, Section 6.5).
type changes struct {
	remove     bool   // the named parts, instead of replacing them
	subject    []byte // Name in DER; nil to leave it
	extensions []pkix.Extension
}

// orders applies what the message's RA says about requests: in the message
// itself, and in those nested in it, which are known by now. A part that there is
// not refuses the message. Nested ones are read before it, so that what the
// outermost RA says comes last.
func (x *cmcExchange) orders(m *cmcMessage) *refused {
	for i := range m.fromRA {
		control := &m.fromRA[i]
		if x.ordered += len(concerned(control)); x.ordered > maxCMCOrders {
			return refuseParts(deny(ReasonCMCTooMany, "cmc-limits"), control.ID)
		}
		var f *refused
		switch value := control.Value.(type) {
		case *cmc.LRAPOPWitness:
			f = m.order(control.ID, cmc.BodyPartPath{value.PKIData}, value.Requests, func(q *cmcRequest) { q.witnessed = true })
		case *cmc.AddExtensions:
			add := changes{extensions: value.Extensions}
			f = m.order(control.ID, cmc.BodyPartPath{value.PKIData}, value.Requests, func(q *cmcRequest) { q.changes = append(q.changes, add) })
		case *cmc.ModCertTemplate:
			if f = checkTemplate(control.ID, value); f == nil {
				change := changes{remove: !value.Replace, subject: value.Template.RawSubject, extensions: value.Template.Extensions}
				f = m.order(control.ID, value.PKIData, value.Requests, func(q *cmcRequest) { q.changes = append(q.changes, change) })
			}
		case cmc.BatchRequests:
			f = m.checkBatch(control.ID, value)
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// concerned are the requests that an RA's control is about.
func concerned(control *cmc.Control) []cmc.BodyPartID {
	switch value := control.Value.(type) {
	case *cmc.LRAPOPWitness:
		return value.Requests
	case *cmc.AddExtensions:
		return value.Requests
	case *cmc.ModCertTemplate:
		return value.Requests
	default:
		return nil
	}
}

// order does something to requests of m or of a message nested in it. What is
// changed has become the RA's own word.
func (m *cmcMessage) order(control cmc.BodyPartID, path cmc.BodyPartPath, ids []cmc.BodyPartID, do func(q *cmcRequest)) *refused {
	target := m
	if len(path) != 1 || path[0] != 0 {
		for _, id := range path {
			i := slices.IndexFunc(target.nested, func(inner *cmcMessage) bool { return inner.id() == id })
			if i < 0 {
				return refuseParts(deny(ReasonCMCReference, "cmc-reference"), control)
			}
			target = target.nested[i]
		}
	}
	if target.failed != nil {
		return nil // there is nothing to be changed any more
	}
	for _, id := range ids {
		i := slices.IndexFunc(target.requests, func(q *cmcRequest) bool { return q.id == id })
		if i < 0 {
			return refuseParts(deny(ReasonCMCReference, "cmc-reference"), control)
		}
		q := target.requests[i]
		before := len(q.changes)
		do(q)
		if len(q.changes) > before && target != m {
			q.by = m.own.c
		}
		if target != m && q.csr == nil {
			q.read(target) // once more, with the witness
		} else if target != m {
			q.denied = q.change()
		}
	}
	return nil
}

// checkTemplate refuses templates that change what only the request's sender or
// the CA may say.
func checkTemplate(control cmc.BodyPartID, value *cmc.ModCertTemplate) *refused {
	t := value.Template
	if t == nil || t.RawSubjectPublicKeyInfo != nil || !t.NotBefore.IsZero() || !t.NotAfter.IsZero() || t.RawIssuer != nil {
		return refuseParts(deny(ReasonCMCTemplate, "cmc-template"), control)
	}
	return nil
}

// checkBatch refuses a batch of what is not in the message.
func (m *cmcMessage) checkBatch(control cmc.BodyPartID, ids cmc.BatchRequests) *refused {
	for _, id := range ids {
		if !slices.ContainsFunc(m.nested, func(inner *cmcMessage) bool { return inner.id() == id }) {
			return refuseParts(deny(ReasonCMCReference, "cmc-reference"), control)
		}
	}
	return nil
}

// change makes the request what the RA says. The proof of possession was
// verified over the request as it came; the changed one is kept, where it has to
// wait, as the RA's own.
func (q *cmcRequest) change() *Decision {
	if len(q.changes) == 0 {
		return nil
	}
	a := &certificationRequest{subject: q.csr.RawSubject, key: q.csr.RawSubjectPublicKeyInfo, extensions: slices.Clone(q.csr.Extensions)}
	for _, c := range q.changes {
		a.apply(c)
	}
	q.changes = nil
	csr, d := a.parse()
	if d != nil {
		return d
	}
	csr.ChallengePassword, csr.IdentityLinking = q.csr.ChallengePassword, q.csr.IdentityLinking
	evidence, err := a.evidence(q.id)
	if err != nil {
		return denyErr(ReasonInternal, "cmc-template", err)
	}
	q.csr, q.evidence, q.repeat = csr, evidence, evidence
	return nil
}

func (a *certificationRequest) apply(c changes) {
	if c.subject != nil {
		if a.subject = c.subject; c.remove {
			a.subject = nil
		}
	}
	for _, e := range c.extensions {
		a.extensions = slices.DeleteFunc(a.extensions, func(old pkix.Extension) bool { return old.Id.Equal(e.Id) })
		if !c.remove {
			a.extensions = append(a.extensions, e)
		}
	}
}

// evidence is what is asked for as a CRMF request whose possession was checked:
// what an RA has changed, and CRMF without its controls, which may hold secrets.
func (a *certificationRequest) evidence(id cmc.BodyPartID) ([]byte, error) {
	r := &cmc.CRMFRequest{ID: id, RAVerified: true, Template: cmc.CertTemplate{
		RawSubject: a.subject, RawSubjectPublicKeyInfo: a.key, Extensions: a.extensions,
	}}
	if a.newNames != nil {
		var b cryptobyte.Builder
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(a.newNames) })
		value, err := b.Bytes()
		if err != nil {
			return nil, err
		}
		r.Controls = []cmc.CRMFAttribute{{Type: oidChangeSubjectName(), Value: value}}
	}
	q, err := cmc.NewCRMF(r)
	if err != nil {
		return nil, err
	}
	return taggedRequest(&q)
}

// taggedRequest is the request's element of reqSequence.
func taggedRequest(q *cmc.Request) ([]byte, error) {
	der, err := (&cmc.PKIData{Requests: []cmc.Request{*q}}).MarshalRequests()
	if err != nil {
		return nil, err
	}
	in := cryptobyte.String(der)
	var element cryptobyte.String
	if !in.ReadASN1(&element, cryptobyte_asn1.SEQUENCE) {
		return nil, cmc.ErrBuild
	}
	return element, nil
}
