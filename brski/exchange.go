package brski

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
)

// maxVoucherWait is the longest a pledge waits after a 202 (RFC 8995, Section 5.6).
const maxVoucherWait = 60 * time.Second

// The reason ids of what this package refuses by itself, besides those of
// package est that apply here too: path-prefix, path-operation, path-segments,
// path-slash, path-dots, path-encoding, method-not-allowed, tls-required,
// media-type, content-encoding, body-too-large, body-timeout, body-read,
// body-empty and internal. A backend adds its own. Statuses are in parentheses.
const (
	ReasonNoClientCertificate = "no-client-certificate" // (403) no TLS client certificate
	ReasonNotAcceptable       = "not-acceptable"        // (406) nothing that Accept takes
	ReasonVoucherRequest      = "voucher-request"       // (400) not a signed voucher-request
	ReasonVoucherSignature    = "voucher-signature"     // (403) a signature that does not hold
	ReasonVoucherContainer    = "voucher-container"     // (406) signed content of another kind
	ReasonVoucherLeaf         = "voucher-leaf"          // (400) a leaf that is refused in requests
	ReasonSignerNotClient     = "signer-not-client"     // (403) signed by another than the TLS client
	ReasonTelemetry           = "telemetry"             // (400) not a status document
	ReasonMASARefused         = "masa-refused"          // (403, 404, 406) as the MASA said
	ReasonMASAUnavailable     = "masa-unavailable"      // (504, 502) no answer that counts; it may pass
	ReasonMASAAnswer          = "masa-answer"           // (502) an answer that cannot be passed on
)

// exchange is one request being answered.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	call    Call
	realm   string
	log     *slog.Logger
	backend any // asked for Admitter and Observer
	maxBody int64
}

// newExchange reads what is known before the body.
func newExchange(w http.ResponseWriter, r *http.Request, now func() time.Time) *exchange {
	return &exchange{w: w, r: r, call: Call{ID: est.NewRequestID(), Peer: est.NewPeer(r), At: now()}}
}

// route checks path, method and TLS for the operations that are served below base.
func (x *exchange) route(base string, served ...Operation) *est.Error {
	op, e := parsePath(x.r.URL.EscapedPath(), base, served)
	if e != nil {
		return e
	}
	x.call.Operation = op
	if x.r.Method != http.MethodPost {
		x.w.Header().Set("Allow", http.MethodPost)
		return &est.Error{
			Status: http.StatusMethodNotAllowed, Reason: est.ReasonMethod, Section: "RFC 8995, Section 5",
			Message: fmt.Sprintf("%s is a POST.", op),
		}
	}
	if x.r.TLS == nil {
		return &est.Error{
			Status: http.StatusForbidden, Reason: est.ReasonTLSRequired, Section: "RFC 8995, Section 5.1",
			Message: "BRSKI is spoken over TLS only. Connect with https.",
		}
	}
	return nil
}

// needClient refuses a peer without a TLS client certificate. RFC 8995, Section
// 5.1 has the pledge authenticate so and names no status. It is 403 and not
// 401, because a 401 has to offer a challenge (RFC 9110, Section 15.5.2) and no
// password would help.
func (x *exchange) needClient() *est.Error {
	if len(x.call.Peer.Certificates) > 0 {
		return nil
	}
	return &est.Error{
		Status: http.StatusForbidden, Reason: ReasonNoClientCertificate, Section: "RFC 8995, Section 5.1",
		Message: "A TLS client certificate is needed: connect again and present the IDevID (for enrollstatus, the LDevID).",
	}
}

// artifactFormat returns the format of the body by its Content-Type.
func (x *exchange) artifactFormat(formats []voucher.Format) (voucher.Format, *est.Error) {
	if e := x.notEncoded(); e != nil {
		return nil, e
	}
	f := findFormat(formats, mediaType(x.r.Header["Content-Type"]))
	if f == nil {
		types := make([]string, len(formats))
		for i, f := range formats {
			types[i] = f.MediaType()
		}
		return nil, &est.Error{
			Status: http.StatusUnsupportedMediaType, Reason: est.ReasonMediaType, Section: "RFC 8995, Section 5.6",
			Message: "The Content-Type is not one that is understood here. Send: " + strings.Join(types, ", ") + ".",
		}
	}
	return f, nil
}

func (x *exchange) notEncoded() *est.Error {
	encoding := x.r.Header.Get("Content-Encoding")
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	return &est.Error{
		Status: http.StatusUnsupportedMediaType, Reason: est.ReasonContentEncoding, Section: "RFC 9110, Section 15.5.16",
		Message: "A compressed body is not taken. Send it without Content-Encoding.",
	}
}

// accept returns the offered media types that the peer takes, best first.
func (x *exchange) accept(offered []string) ([]string, *est.Error) {
	types := accepted(x.r.Header["Accept"], offered)
	if len(types) == 0 {
		return nil, &est.Error{
			Status: http.StatusNotAcceptable, Reason: ReasonNotAcceptable, Section: "RFC 8995, Section 5.6",
			Message: "Nothing that the Accept header names can be sent. Accept: " + strings.Join(offered, ", ") + ".",
		}
	}
	return types, nil
}

// admit asks the backend before the body is read.
func (x *exchange) admit(ctx context.Context) error {
	if a, ok := x.backend.(Admitter); ok {
		return a.Admit(ctx, &x.call)
	}
	return nil
}

// body reads the whole body.
func (x *exchange) body(limit int64) ([]byte, *est.Error) {
	if x.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	var body bytes.Buffer
	// What a peer says of the length is believed as far as costs nothing.
	const believed = 16 << 10
	body.Grow(int(min(max(x.r.ContentLength, 0), believed)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(x.w, x.r.Body, limit))
	data := body.Bytes()
	var maxBytes *http.MaxBytesError
	switch {
	case err == nil && len(data) > 0:
		return data, nil
	case errors.As(err, &maxBytes):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &est.Error{
			Status: http.StatusRequestTimeout, Reason: est.ReasonBodyTimeout, Section: "RFC 9110, Section 15.5.9",
			Message: "The body did not arrive in time. Send it again.", Err: err,
		}
	case err != nil:
		return nil, &est.Error{
			Status: http.StatusBadRequest, Reason: est.ReasonBodyRead, Section: "RFC 9112, Section 8",
			Message: "The body broke off. Send it again.", Err: err,
		}
	default:
		// nqminds' pledge posts an empty body first, to learn the registrar's
		// certificate, and needs an answer of any status on a connection that lives.
		return nil, &est.Error{
			Status: http.StatusBadRequest, Reason: est.ReasonBodyEmpty, Section: "RFC 8995, Section 5.2",
			Message: "The body is empty. Post the document that the operation takes.",
		}
	}
}

func tooLarge(limit int64) *est.Error {
	return &est.Error{
		Status: http.StatusRequestEntityTooLarge, Reason: est.ReasonBodyTooLarge, Section: "RFC 9110, Section 15.5.14",
		Message: fmt.Sprintf("The body is larger than the %d bytes that are taken.", limit),
	}
}

// answer sends a body with its length.
func (x *exchange) answer(mediaType string, body []byte) {
	h := x.w.Header()
	if mediaType != "" {
		h.Set("Content-Type", mediaType)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusOK)
	if _, err := x.w.Write(body); err != nil {
		x.log.InfoContext(x.r.Context(), "answer not delivered",
			slog.String("request", x.call.ID), slog.String("operation", string(x.call.Operation)), slog.Any("error", err))
	}
}

// refuse sends err as the peer may see it, logs it and tells the observer.
func (x *exchange) refuse(ctx context.Context, err error) {
	e := x.asSent(err)
	level := slog.LevelInfo
	if e.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	x.log.Log(ctx, level, "request refused", slog.String("request", x.call.ID), slog.String("operation", string(x.call.Operation)),
		slog.Int("status", e.Status), slog.String("reason", e.Reason), slog.Any("peer", x.call.Peer), slog.Any("error", e))
	switch o := x.backend.(type) {
	case Observer:
		o.Refused(ctx, &x.call, e)
	case est.Observer:
		o.Refused(ctx, &est.Request{
			ID: x.call.ID, Operation: est.Operation(x.call.Operation), Peer: x.call.Peer, At: x.call.At,
		}, e)
	}
	if e.Status == http.StatusUnauthorized {
		// RFC 8995, Section 5.2: after a proximity assertion that does not hold, 401, and the connection is closed.
		x.w.Header().Set("Connection", "close")
	}
	est.WriteError(x.w, x.r, x.realm, e)
}

// asSent turns any error into what the peer gets.
func (x *exchange) asSent(err error) *est.Error {
	var e *est.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, ErrMASAUnavailable):
		e = &est.Error{
			Status: http.StatusGatewayTimeout, Reason: ReasonMASAUnavailable, Section: "RFC 8995, Section 5.6",
			Message: "The manufacturer's service (MASA) cannot be reached now. Try again later.", Err: err,
		}
	default:
		e = &est.Error{
			Status: http.StatusInternalServerError, Reason: est.ReasonInternal,
			Message: "Internal error. The server's log has it under request " + x.call.ID + ".", Err: err,
		}
	}
	if e.Status == http.StatusAccepted && x.call.Operation == OpRequestVoucher &&
		(e.RetryAfter <= 0 || e.RetryAfter > maxVoucherWait) {
		c := *e
		c.RetryAfter = maxVoucherWait
		return &c
	}
	return e
}

// logger returns log, or one that drops everything.
func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// clock returns now, or the system's.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// limit returns n, or fallback when n is not positive.
func limit(n, fallback int64) int64 {
	if n <= 0 {
		return fallback
	}
	return n
}
