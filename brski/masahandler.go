package brski

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
)

// defaultMaxMASABody holds a registrar's request with a pledge's inside, in base64.
const defaultMaxMASABody = 256 << 10

// MASAHandler serves registrars: requestvoucher (RFC 8995, Section 5.5) and
// requestauditlog (Section 5.8). Mount it so that it sees the path as it was sent.
//
// Path, method, media type, Accept and size are checked before MASA is asked,
// so that nothing is issued that could not be sent. The request is opened by
// MASA: a registrar needs no TLS client certificate (RFC 8995, Section 5.4),
// its signature is what counts.
type MASAHandler struct {
	MASA    MASA             // required
	Formats []voucher.Format // of requests and vouchers; the first is preferred among equals. Required
	// Path is where the operations are; empty for "/.well-known/brski", the
	// default of the MASA URL extension (RFC 8995, Section 2.3.2).
	Path    string
	Realm   string       // of the challenge when MASA answers 401; empty for the default of package est
	Log     *slog.Logger // nil for none
	MaxBody int64        // bytes of a voucher-request; zero for 256 KiB
	// TakeBase64 takes CMS requests in base64 too, as nqminds' registrar sends
	// them. RFC 8995, Section 6 has them binary, and that is all that is taken
	// without it.
	TakeBase64 bool
	Now        func() time.Time // nil for time.Now
}

// ServeHTTP answers one request.
func (h *MASAHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w, r, clock(h.Now))
	x.realm, x.log, x.backend, x.maxBody = h.Realm, logger(h.Log), h.MASA, limit(h.MaxBody, defaultMaxMASABody)
	ctx := r.Context()
	if err := h.serve(ctx, x); err != nil {
		x.refuse(ctx, err)
	}
}

func (h *MASAHandler) serve(ctx context.Context, x *exchange) error {
	base := strings.TrimSuffix(h.Path, "/")
	if base == "" {
		base = PathPrefix
	}
	if e := x.route(base, OpRequestVoucher, OpRequestAuditLog); e != nil {
		return e
	}
	format, e := x.artifactFormat(h.Formats)
	if e != nil {
		return e
	}
	offered := offer(h.Formats, format)
	if x.call.Operation == OpRequestAuditLog {
		offered = []string{jsonMediaType}
	}
	types, e := x.accept(offered)
	if e != nil {
		return e
	}
	if err := x.admit(ctx); err != nil {
		return err
	}
	body, e := x.body(x.maxBody)
	if e != nil {
		return e
	}
	if h.TakeBase64 {
		body, _ = unwrapBase64(format.MediaType(), body)
	}
	r := &MASARequest{MediaType: format.MediaType(), Raw: body, Accept: types, Peer: x.call.Peer, At: x.call.At}
	if certs := x.call.Peer.Certificates; len(certs) > 0 {
		r.Registrar = certs[0]
	}
	if x.call.Operation == OpRequestAuditLog {
		return h.auditLog(ctx, x, r)
	}
	v, err := h.MASA.RequestVoucher(ctx, r)
	if err != nil {
		return err
	}
	if e := checkAnswer(v, types); e != nil {
		return e
	}
	x.answer(v.MediaType, v.Raw)
	return nil
}

func (h *MASAHandler) auditLog(ctx context.Context, x *exchange, r *MASARequest) error {
	l, err := h.MASA.RequestAuditLog(ctx, r)
	if err != nil {
		return err
	}
	if l == nil {
		return &est.Error{
			Status: http.StatusBadGateway, Reason: ReasonMASAAnswer, Section: "RFC 8995, Section 5.8",
			Message: "There is no audit-log in the answer. Report this to the manufacturer.",
		}
	}
	data, err := MarshalAuditLog(l)
	if err != nil {
		return err
	}
	x.answer(jsonMediaType, data)
	return nil
}
