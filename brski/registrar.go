package brski

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Limits of a RegistrarHandler.
const (
	defaultMaxBody = 128 << 10 // artifacts seen in the field have 1 to 6 kB
	maxStatusBody  = 16 << 10  // telemetry
)

// RegistrarHandler serves pledges at /.well-known/brski: requestvoucher (RFC
// 8995, Section 5.2), voucher_status (Section 5.7) and enrollstatus (Section
// 5.9.4). Mount it so that it sees the path as it was sent.
//
// Path, method, client certificate, media type, Accept, size and signature are
// checked, in that order, before Backend is asked; what was refused has had no
// effect. Every refusal has a reason id (the Reason constants) and, but for
// 401 and 202, a text for the person at the device.
type RegistrarHandler struct {
	Backend RegistrarBackend // required
	Formats []voucher.Format // of requests and vouchers; the first is preferred among equals. Required
	Realm   string           // of the challenge when Backend answers 401; empty for the default of package est
	Log     *slog.Logger     // nil for none
	MaxBody int64            // bytes of a voucher-request; zero for 128 KiB. Telemetry has 16 KiB
	Now     func() time.Time // nil for time.Now
}

// ServeHTTP answers one request.
func (h *RegistrarHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w, r, clock(h.Now))
	x.realm, x.log, x.backend, x.maxBody = h.Realm, logger(h.Log), h.Backend, limit(h.MaxBody, defaultMaxBody)
	ctx := r.Context()
	if err := h.serve(ctx, x); err != nil && !x.redirect(ctx, err) {
		x.refuse(ctx, err)
	}
}

func (h *RegistrarHandler) serve(ctx context.Context, x *exchange) error {
	if e := x.route(PathPrefix, OpRequestVoucher, OpVoucherStatus, OpEnrollStatus); e != nil {
		return e
	}
	if e := x.needClient(); e != nil {
		return e
	}
	switch x.call.Operation {
	case OpRequestVoucher:
		return h.requestVoucher(ctx, x)
	case OpVoucherStatus:
		return h.status(ctx, x, h.Backend.VoucherStatus)
	case OpEnrollStatus:
		return h.status(ctx, x, h.Backend.EnrollStatus)
	default:
		panic("brski: internal error: an operation that route does not serve")
	}
}
