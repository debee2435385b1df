package cmpca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/internal/cmp"
)

// run is one call of Issue.
type run struct {
	c *CA
	o *delegate.Order
	t *transaction
}

// maxSteps is how many messages one call sends: request, poll, confirmation, and
// one more for a request that the CA had already.
const maxSteps = 4

// Issue implements ca.Issuer. Polling is one question a call: a CA that has not
// decided is a ca.Later with the wait it asks for.
func (c *CA) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	cert, err := c.issue(ctx, r)
	return cert, c.secrets.Error(err)
}

func (c *CA) issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	t, err := c.open(r)
	if err != nil {
		return nil, err
	}
	if c.s.Mode == P10CR && r.Record != nil && ctx.Err() == nil {
		if err := delegate.CheckCSRNames(r); err != nil {
			return nil, err
		}
	}
	o, err := c.s.Rules.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	one := &run{c: c, o: o, t: t}
	for range maxSteps {
		cert, err := one.next(ctx)
		if cert != nil || err != nil {
			return cert, t.later(err)
		}
	}
	return nil, t.later(delegate.Lost(errors.New("it leads to no end of questions")))
}

// next sends the message of the step. Without a certificate and an error, there is
// another step.
func (r *run) next(ctx context.Context) (*ca.Certificate, error) {
	switch r.t.Step {
	case stepPoll:
		return r.poll(ctx)
	case stepConfirm:
		return r.confirm(ctx)
	default:
		return r.ask(ctx)
	}
}

func (r *run) question(body cmp.Body) *question {
	return &question{transactionID: r.t.id, peerNonce: r.t.PeerNonce, body: body}
}

// ask sends the request (RFC 9483, Section 4.1).
func (r *run) ask(ctx context.Context) (*ca.Certificate, error) {
	body, err := r.c.request(r.o)
	if err != nil {
		return nil, err
	}
	q := r.question(body)
	if r.c.s.ImplicitConfirm {
		q.infos = append(q.infos, cmp.ImplicitConfirm())
	}
	if r.c.s.CertProfile != "" {
		q.infos = append(q.infos, cmp.CertProfile(r.c.s.CertProfile))
	}
	repeated := r.t.Repeat
	r.t.Repeat = true
	m, err := r.c.exchange(ctx, q)
	var no *refusal
	if errors.As(err, &no) && no.info.Status != cmp.Waiting && repeated && no.info.Failure&cmp.TransactionIDInUse != 0 {
		// The CA has the request from before; its answer is fetched.
		r.remember(m)
		r.t.Step, r.t.RequestID = stepPoll, r.c.pollID()
		return nil, nil
	}
	if errors.As(err, &no) {
		err = r.refused(m, no)
	}
	if err != nil && repeated && errors.Is(err, ca.ErrUnavailable) {
		return nil, asked(err) // what became of the request that was sent before is not known
	}
	if err != nil {
		return nil, err
	}
	return r.answered(ctx, m)
}

// pollID is the certReqId of the one request of a transaction.
func (c *CA) pollID() int64 {
	if c.s.Mode == P10CR {
		return -1
	}
	return 0
}

// poll asks whether the CA has decided (RFC 9483, Section 4.4).
func (r *run) poll(ctx context.Context) (*ca.Certificate, error) {
	m, err := r.c.exchange(ctx, r.question(cmp.NewPollReq(r.t.RequestID)))
	var no *refusal
	if errors.As(err, &no) {
		return nil, r.unpolled(m, no)
	}
	if err != nil {
		return nil, asked(err)
	}
	if m.Kind != cmp.PollRep {
		return r.answered(ctx, m)
	}
	polls, err := m.PollRep()
	if err != nil {
		return nil, delegate.Lost(err)
	}
	if len(polls) != 1 || polls[0].RequestID != r.t.RequestID {
		return nil, fmt.Errorf("%w: a pollRep that is not about the one request", ca.ErrMismatch)
	}
	r.remember(m)
	return nil, r.c.pending(polls[0].After, strings.Join(polls[0].Reason, "; "))
}

// unpolled is an error message instead of an answer to a pollReq. It is about the
// question: a request is refused in an ip or cp.
func (r *run) unpolled(m *cmp.Message, no *refusal) error {
	switch {
	case no.info.Status == cmp.Waiting:
		r.remember(m)
		return r.c.pending(0, no.said)
	case no.info.Failure&ours != 0:
		return &ca.Later{Err: fmt.Errorf("%w: polling: %w", ca.ErrUnavailable, no)}
	}
	return fmt.Errorf("%w: the CA no longer knows the transaction: %w", ca.ErrUnavailable, no)
}

func (c *CA) pending(after time.Duration, said string) error {
	err := fmt.Errorf("%w: the CA waits", ca.ErrPending)
	if said != "" {
		err = fmt.Errorf("%w: %q", err, c.secrets.Sentence(said))
	}
	return &ca.Later{Err: err, After: min(after, delegate.MaxAfter)}
}

// remember keeps the nonce that our next message answers.
func (r *run) remember(m *cmp.Message) {
	if m != nil && len(m.Header.SenderNonce) > 0 {
		r.t.PeerNonce = m.Header.SenderNonce
	}
}

// refused is an error message instead of an answer to the request. Waiting, it is
// delayed delivery, and polling has no certReqId (RFC 9483, Section 4.4).
func (r *run) refused(m *cmp.Message, no *refusal) error {
	if no.info.Status != cmp.Waiting || m == nil {
		return r.c.judge(no)
	}
	r.remember(m)
	r.t.Step, r.t.RequestID = stepPoll, -1
	return r.c.pending(0, strings.Join(no.info.Text, "; "))
}

// answered judges an ip or cp.
func (r *run) answered(ctx context.Context, m *cmp.Message) (*ca.Certificate, error) {
	if m.Kind != r.c.answerKind() {
		return nil, fmt.Errorf("%w: a message %s for a %s", ca.ErrMismatch, m.Kind, r.c.requestKind())
	}
	rep, err := m.CertRep()
	if err != nil {
		return nil, delegate.Lost(err)
	}
	if len(rep.Responses) == 0 {
		return nil, fmt.Errorf("%w: an empty %s", ca.ErrMismatch, m.Kind)
	}
	one := &rep.Responses[0]
	raw := one.Certificate
	switch info := &one.StatusInfo; {
	case len(rep.Responses) > 1:
		return nil, odd(raw, "one request and %d answers", len(rep.Responses))
	case !r.c.rightID(one.RequestID):
		return nil, odd(raw, "its certReqId is %d", one.RequestID)
	case one.Other:
		return nil, odd(raw, "it came encrypted, with a private key or for publication")
	case info.Status == cmp.Waiting && raw == nil:
		return nil, r.waits(m, one.RequestID)
	case info.Status == cmp.Rejection && raw == nil:
		return nil, r.c.judge(r.c.newRefusal(*info))
	case info.Status != cmp.Accepted && info.Status != cmp.GrantedWithMods:
		return nil, odd(raw, "its status is %s", info.Status)
	case raw == nil:
		return nil, odd(nil, "its status is %s and there is no certificate", info.Status)
	}
	r.remember(m)
	r.t.RequestID = one.RequestID
	return r.take(ctx, m, raw)
}

// odd is an answer of the CA's that is not one to what was asked.
func odd(raw []byte, format string, args ...any) error {
	problem := fmt.Errorf(format, args...)
	if raw == nil {
		return fmt.Errorf("%w: %w", ca.ErrMismatch, problem)
	}
	return &ca.Mismatch{Raw: raw, Problem: problem}
}

// waits goes on to polling; a CA that waits while it is polled says no more than that.
func (r *run) waits(m *cmp.Message, id int64) error {
	r.remember(m)
	again := r.t.Step == stepPoll
	r.t.Step, r.t.RequestID = stepPoll, id
	if again {
		return r.c.pending(0, "")
	}
	return nil
}

// take checks the certificate and confirms it, unless the CA does without
// (RFC 9483, Section 4.1.1). One that is not what was ordered is refused there, so that the CA
// revokes it, and reported here, whatever the CA answers.
func (r *run) take(ctx context.Context, m *cmp.Message, raw []byte) (*ca.Certificate, error) {
	cert, err := r.o.Accept(raw, nil)
	implicit := r.c.s.ImplicitConfirm && m.Header.ImplicitConfirm()
	if err != nil {
		if parsed, parseErr := x509.ParseCertificate(raw); parseErr == nil && !implicit {
			_, _ = r.c.exchange(ctx, r.confirmation(parsed, &cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.BadCertTemplate}))
		}
		return nil, err
	}
	if implicit {
		return cert, nil
	}
	r.t.Step, r.t.Certificate = stepConfirm, raw
	return nil, nil
}

func (r *run) confirmation(cert *x509.Certificate, status *cmp.StatusInfo) *question {
	hash := cmp.HashCertificate(cert)
	q := r.question(cmp.NewCertConf(&cmp.CertConfirmation{Hash: hash, RequestID: r.t.RequestID, StatusInfo: status}))
	if hash.Algorithm != nil {
		q.version = 3 // RFC 9480, Section 2.20
	}
	return q
}

// confirm tells the CA that the certificate is taken. One that the CA does not let us
// confirm is put on record and revoked: the CA may have revoked it already.
func (r *run) confirm(ctx context.Context) (*ca.Certificate, error) {
	cert, err := r.o.Accept(r.t.Certificate, nil)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(r.t.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrMismatch, err)
	}
	m, err := r.c.exchange(ctx, r.confirmation(parsed, nil))
	var no *refusal
	switch {
	case errors.As(err, &no):
		r.remember(m)
		return r.unconfirmed(cert, no)
	case err != nil:
		return nil, asked(err)
	case m.Kind != cmp.PKIConf:
		return nil, &ca.Mismatch{Raw: cert.Raw, Problem: fmt.Errorf("the CA answered its confirmation with a %s", m.Kind)}
	}
	return cert, nil
}

// asked makes an error one after which the same is asked again: the certificate is there.
func asked(err error) error {
	var later *ca.Later
	if errors.As(err, &later) {
		return err
	}
	return &ca.Later{Err: err}
}

// unconfirmed is an error message instead of a pkiconf. certConfirmed says that an
// earlier confirmation arrived (RFC 4210, Section 5.2.3).
func (r *run) unconfirmed(cert *ca.Certificate, no *refusal) (*ca.Certificate, error) {
	switch {
	case no.info.Failure&cmp.CertConfirmed != 0:
		return cert, nil
	case no.info.Status == cmp.Waiting, no.info.Failure&(cmp.SystemUnavail|cmp.SystemFailure|cmp.TimeNotAvailable) != 0:
		return nil, &ca.Later{Err: fmt.Errorf("%w: confirming: %w", ca.ErrUnavailable, no)}
	}
	return nil, &ca.Mismatch{Raw: cert.Raw, Problem: fmt.Errorf("the CA does not take its confirmation: %w", no)}
}
