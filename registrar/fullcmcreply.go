package registrar

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

// reply answers with a PKI Response, always (RFC 5272, Section 3.2): together
// with status 200 where something was granted, with 202 where the request waits,
// else with that of the first refusal (RFC 7030, Section 4.3.2).
func (x *cmcExchange) reply(ctx context.Context, m *cmcMessage) (*est.CMCAnswer, error) {
	e := m.outcome()
	if e == nil && m.simple() {
		der, err := cms.CertsOnly(m.issued...)
		if err != nil {
			return nil, fmt.Errorf("simple PKI response: %w", err)
		}
		return &est.CMCAnswer{Message: der, Simple: true}, nil
	}
	der, err := x.build(m)
	switch {
	case err != nil:
		return nil, x.unsigned(ctx, m, err)
	case e != nil:
		out := *e
		out.CMC = der
		return nil, &out
	}
	return &est.CMCAnswer{Message: der}, nil
}

// simple tells whether certificates are all there is to say: then the answer may
// be a Simple PKI Response (RFC 5272, Section 4.1).
func (m *cmcMessage) simple() bool {
	return len(m.data.Controls) == 0 && len(m.nested) == 0 && len(m.refused) == 0 && len(m.issued) > 0
}

// build makes and signs the Full PKI Response to a message, and within it those
// to the messages that are nested in it, for their RA to pass on.
func (x *cmcExchange) build(m *cmcMessage) ([]byte, error) {
	response := &cmc.PKIResponse{}
	for _, inner := range m.nested {
		der, err := x.build(inner)
		if err != nil {
			return nil, err
		}
		response.Messages = append(response.Messages, cmc.Message{ID: inner.id(), ContentInfo: der})
	}
	values := append(m.statuses(x.base), m.echoes()...)
	if m.batch && len(m.nested) > 0 {
		var ids cmc.BatchResponses
		for _, inner := range m.nested {
			ids = append(ids, inner.id())
		}
		values = append(values, ids)
	}
	id := cmc.BodyPartID(0)
	for _, value := range values {
		for id++; slices.ContainsFunc(m.nested, func(inner *cmcMessage) bool { return inner.id() == id }); id++ {
		}
		response.Controls = append(response.Controls, cmc.Control{ID: id, Value: value})
	}
	chain, crls, err := x.bag(m)
	if err != nil {
		return nil, err
	}
	return cmc.SignResponse(response, &cmc.Signing{
		Key: x.v.cmc.key, Certificate: x.v.cmc.certificate, Chain: chain, CRLs: crls, Time: x.base.At,
	})
}

// bag is what the response carries besides what it says. The order means nothing.
func (x *cmcExchange) bag(m *cmcMessage) ([]*x509.Certificate, [][]byte, error) {
	chain := slices.Clone(x.v.cmc.chain)
	var crls [][]byte
	var failed error
	m.all(func(m *cmcMessage) {
		for _, raw := range slices.Concat(m.issued, m.found) {
			cert, err := x509.ParseCertificate(raw)
			if err != nil {
				failed = err
				continue
			}
			if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, raw) }) {
				chain = append(chain, cert)
			}
		}
		crls = append(crls, m.crls...)
	})
	return chain, crls, failed
}

// statuses are a CMCStatusInfoV2 for all that was granted, and one for each part
// that was not (RFC 5272, Section 6.1.1). Parts of nested messages are named by
// their paths.
func (m *cmcMessage) statuses(base *Case) []cmc.ControlValue {
	var done []cmc.BodyPartPath
	var rest []cmc.ControlValue
	m.all(func(inner *cmcMessage) {
		way := inner.path[len(m.path):]
		for _, id := range inner.granted {
			done = append(done, join(way, cmc.BodyPartPath{id}))
		}
		for _, f := range inner.refusals() {
			rest = append(rest, f.statusInfo(base, way))
		}
	})
	if len(done) == 0 && len(rest) == 0 {
		done = wholeMessage()
	}
	if len(done) == 0 {
		return rest
	}
	return append([]cmc.ControlValue{&cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: done}}, rest...)
}

// join leads to a part of the message that way leads to. The message itself is 0
// in itself, and has no such end in another.
func join(way, part cmc.BodyPartPath) cmc.BodyPartPath {
	if len(way) > 0 && len(part) == 1 && part[0] == 0 {
		return way
	}
	return slices.Concat(way, part)
}

// statusInfo says what became of a part, for programs and for people.
func (f *refused) statusInfo(base *Case, way cmc.BodyPartPath) *cmc.StatusInfo {
	out := &cmc.StatusInfo{Status: cmc.StatusFailed, Text: f.e.Reason + ": " + f.e.Message}
	for _, part := range f.bodies {
		out.Bodies = append(out.Bodies, join(way, part))
	}
	switch f.status {
	case cmc.StatusPending:
		out.Status = cmc.StatusPending
		out.Pending = &cmc.Pending{Token: f.token, Time: retryAt(base, f.d.RetryAfter)}
		return out
	case cmc.StatusNoSupport:
		out.Status = cmc.StatusNoSupport
	}
	info := f.info
	out.FailInfo = &info
	return out
}

// echoes are what the sender finds its request by (RFC 5272, Sections 6.4 and 6.6).
func (m *cmcMessage) echoes() []cmc.ControlValue {
	var out []cmc.ControlValue
	if m.transaction != nil {
		out = append(out, m.transaction)
	}
	if m.nonce != nil {
		fresh := make([]byte, 16)
		rand.Read(fresh) // never fails (crypto/rand)
		out = append(out, cmc.RecipientNonce(m.nonce), cmc.SenderNonce(fresh))
	}
	for _, value := range m.returns {
		out = append(out, value)
	}
	return out
}

// unsigned answers where no signature can be made: RFC 5272, Section 3.2.1.3.4,
// has a message without a signer say so.
func (x *cmcExchange) unsigned(ctx context.Context, m *cmcMessage, cause error) error {
	if m.data == nil {
		if sd, err := cms.ParseSignedData(x.r.Message); err == nil {
			if data, err := cmc.ParsePKIData(sd.Content); err == nil {
				m.echo(data)
			}
		}
	}
	d := denyErr(ReasonCMCSigner, "cmc-signer", cause)
	e := asRefusal(x.s.refuse(ctx, m.c, d), d, m.c)
	if der, err := cmc.UnsignedResponse(cmc.UnsignedFailure(m.echoes()...)); err == nil {
		e.CMC = der
	}
	return e
}

// signerProbe knows whether the key that signs responses works, from having
// tried within a minute.
type signerProbe struct {
	mu   sync.Mutex
	good time.Time // guarded by mu
}

// ready tries the key unless it has worked a moment ago.
func (p *signerProbe) ready(k *cmcSide, now time.Time) error {
	const trusted = time.Minute
	p.mu.Lock()
	defer p.mu.Unlock()
	if age := now.Sub(p.good); age >= 0 && age < trusted {
		return nil
	}
	p.good = time.Time{}
	_, err := cmc.SignResponse(&cmc.PKIResponse{Controls: []cmc.Control{
		{ID: 1, Value: &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: wholeMessage()}},
	}}, &cmc.Signing{Key: k.key, Certificate: k.certificate})
	if err == nil {
		p.good = now
	}
	return err
}
