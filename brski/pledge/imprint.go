package pledge

import (
	"context"
	"errors"
	"fmt"
)

// imprint gets from nothing, or from a request that is out, to a verified
// voucher that is stored, with the link authenticated by it.
func (r *run) imprint(ctx context.Context) error {
	l, err := r.connect(ctx, &r.c.IDevID, nil)
	if err != nil {
		return err
	}
	r.link = l
	r.step(StepConnected, "", fmt.Sprintf(
		"the server at %s holds the key of a certificate for %q; whose it is, is not known yet", r.address, l.server[0].Subject.String()))
	if err := r.prepareRequest(ctx); err != nil {
		return err
	}
	a, err := r.askVoucher(ctx)
	if err != nil {
		return r.giveUp(err)
	}
	if e := r.takeVoucher(a); e != nil {
		return r.distrust(ctx, e)
	}
	return r.storeVoucher(a)
}

// takeVoucher checks all there is to check before anything is stored.
func (r *run) takeVoucher(a *answer) *Error {
	if e := r.checkAnswer(a); e != nil {
		return e
	}
	if e := r.checkVoucher(a.body, r.c.Now()); e != nil {
		return e
	}
	proven := "the manufacturer signed it, for this serial number and in answer to this request"
	if r.voucher.Nonce == "" {
		proven = "the manufacturer signed it for this serial number; it has no nonce, so it may be an old one"
	}
	r.step(StepVoucher, "", proven)
	return r.link.authenticate(r.trustPin)
}

// storeVoucher makes the imprint happen.
func (r *run) storeVoucher(a *answer) error {
	if err := r.store(r.names().voucher, a.body); err != nil {
		return err
	}
	r.st.Stage, r.st.Voucher, r.st.ImprintedAt = Imprinted, hexHash(a.body), r.c.Now()
	if err := r.save(); err != nil {
		return err
	}
	r.step(StepImprinted, r.names().voucher, fmt.Sprintf(
		"the registrar's certificate follows from the pinned %s; this connection is authenticated", r.pin))
	return nil
}

// giveUp forgets a request that was answered with a refusal, so that the next
// attempt has a new nonce (RFC 8995, Section 5.2). While the registrar is
// undecided or failing, the request stays as it is.
func (r *run) giveUp(err error) error {
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrUntrusted) {
		if e := r.forget(); e != nil {
			return errors.Join(err, e)
		}
	}
	return err
}

// distrust tells the registrar what is wrong with its voucher, before the
// connection is closed (RFC 8995, Section 5.6.2), and forgets the attempt.
func (r *run) distrust(ctx context.Context, e *Error) error {
	r.voucher, r.pin = nil, nil
	r.tellVoucher(ctx, e.Reason)
	r.step(StepFailed, "", "nothing of it is trusted: "+e.Message)
	if err := r.forget(); err != nil {
		return errors.Join(e, err)
	}
	return e
}

func (r *run) forget() error {
	r.st = r.fresh()
	return r.save()
}
