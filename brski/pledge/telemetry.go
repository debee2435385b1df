package pledge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/briskest/briskest/brski"
)

// tellVoucher posts the verdict on the voucher; an empty reason is success.
func (r *run) tellVoucher(ctx context.Context, reason string) int {
	return r.tell(ctx, r.link, brski.OpVoucherStatus, reason)
}

// tell posts telemetry (RFC 8995, Sections 5.7 and 5.9.4) and returns the
// status of the answer, 0 for none. Nothing depends on it but whether it is
// told again: the client ignores the answer. The reason is an id and no more,
// for it may go to an attacker.
func (r *run) tell(ctx context.Context, l *link, op brski.Operation, reason string) int {
	if r.via == viaESTDomain {
		return http.StatusNotFound // a plain EST server (draft-ietf-anima-brski-cloud-20, Section 3.3.2)
	}
	body, err := json.Marshal(&brski.Status{Version: brski.StatusVersion, Status: reason == "", Reason: reason})
	if err != nil {
		panic("pledge: internal error: telemetry: " + err.Error())
	}
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, http.MethodPost, r.base+brski.PathPrefix+"/"+string(op), bytes.NewReader(body))
	if err != nil {
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "*/*")
	response, err := l.client.Do(request)
	if err == nil {
		defer response.Body.Close()
		err = within.Err() // net/http returns what a server says to the closing of the connection at the end of the time
	}
	if err != nil {
		r.c.Log.WarnContext(ctx, "telemetry not sent", slog.String("operation", string(op)), slog.Any("error", err))
		return 0
	}
	// Read, so that the connection stays of use.
	if _, err := io.CopyN(io.Discard, response.Body, maxText); err != nil && !errors.Is(err, io.EOF) {
		r.c.Log.DebugContext(ctx, "answer to telemetry not read", slog.String("operation", string(op)), slog.Any("error", err))
	}
	if response.StatusCode != http.StatusOK {
		r.c.Log.WarnContext(ctx, "telemetry not taken", slog.String("operation", string(op)), slog.Int("status", response.StatusCode))
	}
	return response.StatusCode
}

// told tells whether the answer settles it: a registrar without the operation
// answers 404, and one that fails is told again.
func told(status int) bool { return status != 0 && status < http.StatusInternalServerError }

// reportVoucher reports success, once. The state with the mark is saved with
// the next step: told twice does less harm than one more write.
func (r *run) reportVoucher(ctx context.Context) {
	if r.st.VoucherReported {
		return
	}
	status := r.tellVoucher(ctx, "")
	r.st.VoucherReported = told(status)
	if status == http.StatusOK {
		r.step(StepVoucherTold, "", "the registrar knows that the voucher was accepted")
	}
}

// reportEnrollment reports success over a new connection that uses the LDevID,
// which proves it (RFC 8995, Section 5.9.4). A registrar that cannot be told
// now is told by the next Onboard.
func (r *run) reportEnrollment(ctx context.Context) {
	if r.st.EnrollReported || r.st.Via == viaESTDomain {
		return
	}
	r.close()
	if err := r.reach(ctx, r.ldevid(), r.trustDomain); err != nil {
		r.c.Log.WarnContext(ctx, "enrollment not reported", slog.Any("error", err))
		return
	}
	status := r.tell(ctx, r.link, brski.OpEnrollStatus, "")
	if r.st.EnrollReported = told(status); !r.st.EnrollReported {
		return
	}
	if err := r.save(); err != nil {
		r.st.EnrollReported = false
		r.c.Log.WarnContext(ctx, "report of the enrollment not noted", slog.Any("error", err))
		return
	}
	if status == http.StatusOK {
		r.step(StepEnrolledTold, "", fmt.Sprintf("the registrar saw the certificate in use on a new connection to %s", r.address))
	}
}
