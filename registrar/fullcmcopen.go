package registrar

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/briskest/briskest/internal/cmc"
)

// open reads the outermost message and all in it, and finds out who asks. It
// acts on nothing.
func (x *cmcExchange) open(ctx context.Context, m *cmcMessage) *refused {
	options := &cmc.OpenOptions{Keys: x.v.cmc.keys}
	var err error
	m.full, err = cmc.OpenRequest(x.r.Message, options)
	var wrong *cmc.Error
	if errors.As(err, &wrong) && wrong.Received != nil {
		m.echo(wrong.Received)
		if errors.Is(err, cmc.ErrNoSignerKey) {
			options.Certificates = x.waitingKeys(ctx, wrong.Received)
			m.full, err = cmc.OpenRequest(x.r.Message, options)
		}
	}
	if err != nil {
		f := malformed(err)
		// What is wrong with the controls is wrong whoever has signed them.
		if unknown := unknownOf(wrong); len(unknown) > 0 {
			f = refuseParts(denyErr(ReasonCMCControl, "cmc-control", err), unknown...)
		}
		x.record(ctx, m.c, f)
		return f
	}
	m.data = m.full.Data
	f := x.prepare(ctx, m)
	if f != nil {
		x.record(ctx, m.c, f)
	}
	return f
}

// unknownOf are the controls of a refused message that are not known.
func unknownOf(e *cmc.Error) []cmc.BodyPartID {
	if e == nil || e.Received == nil {
		return nil
	}
	var ids []cmc.BodyPartID
	for i := range e.Received.Controls {
		if !e.Received.Controls[i].Known() {
			ids = append(ids, e.Received.Controls[i].ID)
		}
	}
	return ids
}

// prepare checks a message whose signatures verify, finds out who asks, and
// opens what is nested in it.
func (x *cmcExchange) prepare(ctx context.Context, m *cmcMessage) *refused {
	if f := x.checkShape(m); f != nil {
		return f
	}
	for i := range m.data.Requests {
		m.requests = append(m.requests, &cmcRequest{id: m.data.Requests[i].ID, request: &m.data.Requests[i]})
	}
	x.identify(ctx, m)
	if f := x.checkRA(m); f != nil {
		return f
	}
	for i := range m.data.Messages {
		x.openNested(ctx, m, &m.data.Messages[i])
	}
	if f := x.orders(m); f != nil {
		return f
	}
	for _, q := range m.requests {
		q.read(m)
	}
	return nil
}

// checkShape refuses what is wrong with a message whoever sends it.
func (x *cmcExchange) checkShape(m *cmcMessage) *refused {
	if f := m.sort(m.data, m.processed()); f != nil {
		return f
	}
	x.messages++
	x.requests += len(m.data.Requests)
	if x.requests > maxCMCRequests || x.messages > maxCMCMessages || len(m.data.Controls) > maxCMCControls {
		return refuseParts(deny(ReasonCMCTooMany, "cmc-limits"))
	}
	for i := range m.data.Requests {
		// RFC 5272, Section 3.2.1.2.3: nothing else is processed then.
		if q := &m.data.Requests[i]; q.Other != nil {
			f := refuseParts(deny(ReasonCMCRequestType, "cmc-request-type"), q.ID)
			f.status = cmc.StatusNoSupport
			return f
		}
	}
	if len(m.data.Others) > 0 {
		return refuseParts(deny(ReasonCMCControl, "cmc-other-message"), m.data.Others[0].ID)
	}
	return oneSigner(m.full)
}

// oneSigner wants one signer, and the same around an envelope: anybody can add
// himself to the signers of a message, or put it into an envelope of his own.
// Package cmc lets those without a signer through that revoke by a passphrase.
func oneSigner(full *cmc.FullRequest) *refused {
	if len(full.Signers) > 1 || len(full.OuterSigners) > 1 {
		return refuseParts(deny(ReasonCMCSigners, "cmc-signers"))
	}
	if len(full.OuterSigners) == 1 {
		outer, inner := full.OuterSigners[0].Certificate, signerOf(full)
		if outer == nil || inner == nil || !outer.Equal(inner) {
			return refuseParts(deny(ReasonCMCSigners, "cmc-signers"))
		}
	}
	return nil
}

// signerOf is the certificate that has signed; nil where there is none.
func signerOf(full *cmc.FullRequest) *x509.Certificate {
	if len(full.Signers) == 0 {
		return nil
	}
	// A waiting request's key is no certificate, see waitingKeys.
	if cert := full.Signers[0].Certificate; cert != nil && len(cert.Raw) > 0 {
		return cert
	}
	return nil
}

// checkRA refuses what only an RA may do (RFC 5272, Sections 6.5, 6.8 and 7).
func (x *cmcExchange) checkRA(m *cmcMessage) *refused {
	if m.ra() {
		return nil
	}
	d := deny(ReasonCMCNotRA, "cmc-ra")
	if m.denied != nil {
		d = m.denied
	}
	var ids []cmc.BodyPartID
	for i := range m.fromRA {
		ids = append(ids, m.fromRA[i].ID)
	}
	if len(ids) > 0 {
		return refuseParts(d, ids...)
	}
	for i := range m.data.Messages {
		ids = append(ids, m.data.Messages[i].ID)
	}
	if len(ids) == 0 {
		return nil
	}
	if m.denied == nil {
		d = deny(ReasonCMCNested, "cmc-ra")
	}
	return refuseParts(d, ids...)
}

// openNested opens a message that an RA passes on. One that is refused does not
// stop the others.
func (x *cmcExchange) openNested(ctx context.Context, m *cmcMessage, part *cmc.Message) {
	inner := &cmcMessage{parent: m, path: append(append(cmc.BodyPartPath{}, m.path...), part.ID), c: m.c}
	m.nested = append(m.nested, inner)
	if x.messages >= maxCMCMessages {
		inner.failed = refuseParts(deny(ReasonCMCTooMany, "cmc-limits"))
		x.record(ctx, m.c, inner.failed)
		return
	}
	full, err := m.full.OpenNested(part, &cmc.OpenOptions{Keys: x.v.cmc.keys})
	if err != nil {
		inner.failed = malformed(err)
		inner.failed.bodies = wholeMessage()
		x.record(ctx, m.c, inner.failed)
		return
	}
	inner.full, inner.data = full, full.Data
	if inner.failed = x.prepare(ctx, inner); inner.failed != nil {
		x.record(ctx, inner.c, inner.failed)
	}
}
