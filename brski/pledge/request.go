package pledge

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

const (
	maxVoucher = 128 << 10
	maxText    = 2 << 10 // of a refusal

	// Of a 202 (RFC 8995, Section 5.6): at most 60 s, and something when nothing is said.
	maxVoucherWait     = 60 * time.Second
	defaultVoucherWait = 10 * time.Second
)

// answer is a registrar's answer to a voucher-request.
type answer struct {
	status     int
	mediaType  string
	body       []byte
	tooLarge   bool
	retryAfter time.Duration
}

// prepareRequest makes sure that a request is stored that names this
// connection's registrar. One that is out already is sent again as it is, so
// that the registrar knows it (RFC 8995, Section 5.6); to another registrar, or
// after MaxWait, goes a new one with a new nonce.
func (r *run) prepareRequest(ctx context.Context) error {
	registrar := r.link.server[0]
	request := &voucher.Request{
		Assertion:    voucher.Proximity,
		SerialNumber: r.serial,
		Nonce:        voucher.NewNonce(),
	}
	r.c.Proximity.name(request, registrar)
	if r.st.Stage == Requested && sameProximity(r.request, request) &&
		r.c.Now().Sub(r.st.RequestedAt) < r.c.MaxWait {
		r.step(StepRequested, r.names().request, "the voucher-request of the earlier run names this registrar and is sent again")
		return nil
	}
	if !r.c.NoClock {
		request.CreatedOn = r.c.Now().UTC().Truncate(time.Second)
	}
	raw, err := r.c.Format.SignRequest(ctx, request, r.idevidSigner())
	if err != nil {
		return &Error{Reason: ReasonSigning, Message: "the voucher-request could not be signed with the IDevID", Err: err}
	}
	if err := r.store(r.names().request, raw); err != nil {
		return err
	}
	st := r.fresh()
	st.Stage, st.Request, st.RequestedAt, st.Registrar = Requested, hexHash(raw), r.c.Now(), r.base
	r.st, r.request, r.requestRaw = st, request, raw
	if err := r.save(); err != nil {
		return err
	}
	r.step(StepRequested, r.names().request, fmt.Sprintf(
		"a voucher-request for %s with a fresh nonce, naming the registrar's certificate, is signed with the IDevID", r.serial))
	return nil
}

func (r *run) idevidSigner() *voucher.Signer {
	s := &voucher.Signer{Key: r.c.IDevID.PrivateKey.(crypto.Signer), Certificate: r.idevid}
	for _, der := range r.c.IDevID.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			s.Chain = append(s.Chain, c)
		}
	}
	return s
}

// askVoucher posts the request until the registrar has decided.
func (r *run) askVoucher(ctx context.Context) (*answer, error) {
	for {
		a, err := r.postRequest(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case a.status == http.StatusOK:
			return a, nil
		case a.status == http.StatusAccepted:
			if err := r.pending(ctx, a.retryAfter, r.st.RequestedAt); err != nil {
				return nil, err
			}
		default:
			return nil, r.refused(a)
		}
	}
}

// pending waits d, unless that would be too long since the first request.
func (r *run) pending(ctx context.Context, d time.Duration, since time.Time) error {
	if r.c.Now().Add(d).Sub(since) > r.c.MaxWait {
		return &Error{
			Reason: ReasonWaitTooLong, class: ErrRefused, Status: http.StatusAccepted, Section: "RFC 8995, Section 5.6",
			Message: fmt.Sprintf("the registrar has not decided since %s; ask its operator", since.UTC().Format(time.RFC3339)),
		}
	}
	r.step(StepPending, "", fmt.Sprintf("the registrar has not decided yet and is asked again in %s", d))
	if err := r.c.Wait(ctx, d); err != nil {
		return &Error{
			Reason: ReasonPending, class: ErrPending, Status: http.StatusAccepted, RetryAfter: d, Err: err,
			Message: "the registrar has not decided yet; run again later",
		}
	}
	return nil
}

func (r *run) postRequest(ctx context.Context) (*answer, error) {
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, http.MethodPost, r.base+brski.PathPrefix+"/requestvoucher", bytes.NewReader(r.requestRaw))
	if err != nil {
		return nil, configError(err)
	}
	request.Header.Set("Content-Type", r.c.Format.MediaType())
	request.Header.Set("Accept", r.c.Format.MediaType())
	response, err := r.link.client.Do(request)
	if err != nil {
		return nil, r.unreachable(ctx, "requesting a voucher", err)
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, retryAfter: voucherWait(response.Header.Get("Retry-After"))}
	if t, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil || errors.Is(err, mime.ErrInvalidMediaParameter) {
		a.mediaType = t
	}
	limit := int64(maxVoucher)
	if a.status != http.StatusOK {
		limit = maxText
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil && a.status == http.StatusOK {
		return nil, r.unreachable(ctx, "reading the voucher", err)
	}
	if int64(len(a.body)) > limit {
		a.tooLarge, a.body = true, a.body[:limit]
	}
	return a, nil
}

// voucherWait reads Retry-After. To keep a false registrar from stalling the
// pledge it is capped (RFC 8995, Section 5.6); a date needs a clock and is not read.
func voucherWait(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return defaultVoucherWait
	}
	return min(max(time.Duration(seconds)*time.Second, time.Second), maxVoucherWait)
}

// refused makes an error of an answer that is neither 200 nor 202.
func (r *run) refused(a *answer) error {
	e := &Error{
		Reason: ReasonRegistrarRefused, class: ErrRefused, Status: a.status, Section: "RFC 8995, Section 5.6",
		Message: fmt.Sprintf("the registrar answered %d: %s", a.status, said(a.body)),
	}
	switch {
	case a.status >= 500:
		e.Reason, e.class, e.RetryAfter = ReasonRegistrarFailed, ErrUnavailable, a.retryAfter
	case a.status == http.StatusTooManyRequests:
		e.class, e.RetryAfter = ErrUnavailable, a.retryAfter
	case a.status < 400:
		e.Reason, e.class = ReasonRedirect, ErrUntrusted
		e.Message = fmt.Sprintf("the registrar answered %d; redirects are not followed, name the registrar itself", a.status)
	}
	return e
}

func said(body []byte) string {
	if text := printable(body, 300); text != "" {
		return text
	}
	return "(no text)"
}
