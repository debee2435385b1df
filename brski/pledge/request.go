package pledge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/briskest/briskest/brski"
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
	retryAfter time.Duration // at most 60 s
	retry      string        // Retry-After as it came
	location   string        // of a redirect
}

// askVoucher posts the request until the registrar has decided, or names another (307).
func (r *run) askVoucher(ctx context.Context) (*answer, error) {
	for {
		a, err := r.postRequest(ctx)
		if err != nil {
			return nil, err
		}
		r.progressed()
		switch {
		case a.status == http.StatusOK, a.status == http.StatusTemporaryRedirect:
			return a, nil
		case a.status == http.StatusAccepted:
			if err := r.pending(ctx, a.retryAfter, r.requestedAt); err != nil {
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
	err := errNotWaiting
	if !r.c.NoWait {
		r.waiting(true)
		err = r.c.Wait(ctx, d)
		r.waiting(false)
	}
	if err != nil {
		return &Error{
			Reason: ReasonPending, class: ErrPending, Status: http.StatusAccepted, RetryAfter: d, Err: err,
			Message: "the registrar has not decided yet; run again later",
		}
	}
	return nil
}

// errNotWaiting is the cause of pending with Config.NoWait.
var errNotWaiting = errors.New("not waiting")

func (r *run) postRequest(ctx context.Context) (*answer, error) {
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, http.MethodPost, r.base+brski.PathPrefix+"/requestvoucher", bytes.NewReader(r.requestRaw))
	if err != nil {
		return nil, configError(err)
	}
	request.Header.Set("Content-Type", r.c.Format.MediaType())
	request.Header.Set("Accept", r.c.Format.MediaType())
	// Not by way of the client, which has ideas of its own about a Location.
	response, err := r.link.client.Transport.RoundTrip(request)
	if err == nil {
		defer response.Body.Close()
		err = within.Err() // net/http returns what a server says to the closing of the connection at the end of the time
	}
	if err != nil {
		return nil, r.unreachable(ctx, "requesting a voucher", err)
	}
	a := &answer{status: response.StatusCode, retry: response.Header.Get("Retry-After"), location: response.Header.Get("Location")}
	a.retryAfter = voucherWait(a.retry)
	if t, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil || errors.Is(err, mime.ErrInvalidMediaParameter) {
		a.mediaType = t
	}
	limit := int64(maxVoucher)
	if a.status != http.StatusOK {
		limit = maxText
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil {
		err = within.Err() // the closing may have ended the body, too
	}
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
		e.Message = fmt.Sprintf("the registrar answered %d; the only redirect that is followed is 307", a.status)
	case a.status == http.StatusUnauthorized && r.verified:
		r.ownerUnknown(e, a)
	}
	return e
}

func said(body []byte) string {
	if text := printable(body, 300); text != "" {
		return text
	}
	return "(no text)"
}
