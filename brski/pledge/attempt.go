package pledge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// attempt asks for a voucher at o, and where that sends it, until there is one
// that holds and a connection that it authenticates (RFC 8995, Sections 5.1 to
// 5.6.2). It stores nothing but the voucher-request. A server that drops the
// connection gets a second chance: some do so with the first one they ever get.
func (r *run) attempt(ctx context.Context, o origin) error {
	err := r.seek(ctx, o)
	if err != nil && dropped(err) && ctx.Err() == nil {
		r.close()
		err = r.seek(ctx, o)
	}
	if err != nil {
		r.close()
	}
	return err
}

// dropped tells whether the peer closed a connection that was made.
func dropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (r *run) seek(ctx context.Context, o origin) error {
	r.asked = nil
	for {
		r.asked = append(r.asked, o)
		if err := r.approach(ctx, o); err != nil {
			return err
		}
		if err := r.prepareRequest(ctx); err != nil {
			return err
		}
		a, err := r.askVoucher(ctx)
		if err != nil {
			return err
		}
		if a.status == http.StatusOK {
			return r.accept(ctx, a)
		}
		if o, err = r.redirected(a.location); err != nil {
			return err
		}
		r.close()
	}
}

// approach connects to o. A cloud registrar has to authenticate itself, one that
// it names may (draft-ietf-anima-brski-cloud-20, Sections 3.1.2 and 3.3.1);
// every other connection is provisional (RFC 8995, Section 5.1).
func (r *run) approach(ctx context.Context, o origin) error {
	r.origin, r.verified = o, false
	trust := r.trustCloud(o)
	if o.via != viaCloud {
		trust = nil
	}
	l, err := r.connect(ctx, &r.c.IDevID, trust)
	if err != nil {
		return err
	}
	r.link = l
	r.progressed()
	if r.asked[0].via == viaCloud {
		if r.verified = l.mutual() && l.authenticate(r.trustCloud(o)) == nil; r.verified {
			r.step(StepConnected, "", fmt.Sprintf("the server at %s is a cloud registrar that the built-in anchors vouch for", r.address))
			return nil
		}
		if o.via == viaCloud {
			return untrusted(ReasonCloud, "draft-ietf-anima-brski-cloud-20, Section 3.1.2",
				fmt.Sprintf("the cloud registrar at %s did not ask for this device's certificate", r.address), nil)
		}
	}
	r.step(StepConnected, "", fmt.Sprintf(
		"the server at %s holds the key of a certificate for %q; whose it is, is not known yet", r.address, l.server[0].Subject.String()))
	return nil
}

// redirected returns where the answer 307 leads, if it may be followed. A
// registrar that nothing vouches for may name one other (RFC 8995, Section 5.6);
// a cloud registrar that is authenticated any, none of them twice, and what it
// names none unless that is authenticated too (draft-ietf-anima-brski-cloud-20,
// Section 3.3.1). To go on, everything begins anew there: the old voucher-request
// names another certificate.
func (r *run) redirected(location string) (origin, error) {
	refuse := func(section, why string, err error) (origin, error) {
		return origin{}, untrusted(ReasonRedirect, section, fmt.Sprintf("the registrar at %s redirects to %q: %s",
			r.address, printable([]byte(location), 200), why), err)
	}
	limit, section := 1, "RFC 8995, Section 5.6"
	if r.asked[0].via == viaCloud {
		limit, section = r.c.MaxRedirects, "draft-ietf-anima-brski-cloud-20, Section 3.3.1"
		if !r.verified {
			return refuse(section, "it is not authenticated, and may not", nil)
		}
	}
	if len(r.asked) > limit {
		return refuse(section, fmt.Sprintf("more than %d redirects are not followed", limit), nil)
	}
	to, err := r.resolve(location)
	if err != nil {
		return refuse(section, "that is no registrar's address", err)
	}
	if slices.ContainsFunc(r.asked, to.same) {
		return refuse(section, "it was asked already", nil)
	}
	r.step(StepRedirected, "", fmt.Sprintf("%s names %s as the registrar to ask", r.address, to.address))
	return to, nil
}

func (r *run) resolve(location string) (origin, error) {
	if strings.TrimSpace(location) == "" {
		return origin{}, errors.New("no Location")
	}
	base, err := url.Parse(r.base)
	if err != nil {
		return origin{}, err
	}
	u, err := base.Parse(location)
	if err != nil {
		return origin{}, err
	}
	return parseOrigin(u.String(), viaRedirect, redirectPaths()...)
}

// accept checks all there is to check before anything is stored, and tells the
// registrar what is wrong with its voucher before the connection is closed (RFC
// 8995, Section 5.6.2).
func (r *run) accept(ctx context.Context, a *answer) error {
	err := r.takeVoucher(ctx, a)
	if e, own := err.(*Error); own && e.class == ErrUntrusted { //nolint:errorlint // of ours, not wrapped
		r.voucher, r.pin = nil, nil
		r.tellVoucher(ctx, e.Reason)
		r.step(StepFailed, "", "nothing of it is trusted: "+e.Message)
	}
	return err
}

// takeVoucher ends with a connection to where to enroll, authenticated.
func (r *run) takeVoucher(ctx context.Context, a *answer) error {
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
	r.voucherRaw = a.body
	switch {
	case r.verified && r.voucher.ESTDomain != "":
		return r.moveToEST(ctx, r.voucher.ESTDomain)
	case r.via == viaCloud:
		return untrusted(ReasonESTDomain, "draft-ietf-anima-brski-cloud-20, Section 3.2.3",
			"the cloud registrar's voucher has no est-domain, and a cloud registrar is no EST server", nil)
	}
	if e := r.link.authenticate(r.trustPin(ctx)); e != nil {
		return e
	}
	return nil
}
