package pledge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/briskest/briskest/brski"
)

// tellVoucher posts the verdict on the voucher; an empty reason is success.
func (r *run) tellVoucher(ctx context.Context, reason string) bool {
	return r.tell(ctx, r.link, brski.OpVoucherStatus, reason)
}

// tell posts telemetry (RFC 8995, Sections 5.7 and 5.9.4) and tells whether the
// registrar took it. Nothing depends on that: the client ignores the answer.
// The reason is an id and no more, for it may go to an attacker.
func (r *run) tell(ctx context.Context, l *link, op brski.Operation, reason string) bool {
	body, err := json.Marshal(&brski.Status{Version: brski.StatusVersion, Status: reason == "", Reason: reason})
	if err != nil {
		panic("pledge: internal error: telemetry: " + err.Error())
	}
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, http.MethodPost, r.base+brski.PathPrefix+"/"+string(op), bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "*/*")
	response, err := l.client.Do(request)
	if err != nil {
		r.c.Log.WarnContext(ctx, "telemetry not sent", "operation", string(op), "error", err)
		return false
	}
	defer response.Body.Close()
	// Read, so that the connection stays of use.
	if _, err := io.CopyN(io.Discard, response.Body, maxText); err != nil && err != io.EOF {
		r.c.Log.DebugContext(ctx, "answer to telemetry not read", "operation", string(op), "error", err)
	}
	if response.StatusCode != http.StatusOK {
		r.c.Log.WarnContext(ctx, "telemetry not taken", "operation", string(op), "status", response.StatusCode)
		return false
	}
	return true
}

// reportVoucher reports success, once. The state with the mark is saved with
// the next step: told twice does less harm than one more write.
func (r *run) reportVoucher(ctx context.Context) {
	if r.st.VoucherReported {
		return
	}
	r.st.VoucherReported = true
	if r.tellVoucher(ctx, "") {
		r.step(StepVoucherTold, "", "the registrar knows that the voucher was accepted")
	}
}

// reportEnrollment reports success over a new connection that uses the LDevID,
// which proves it (RFC 8995, Section 5.9.4). A registrar that cannot be told
// now is told by the next Onboard.
func (r *run) reportEnrollment(ctx context.Context) {
	if r.st.EnrollReported {
		return
	}
	r.close()
	l, err := r.connect(ctx, r.ldevid(), r.trustDomain)
	if err != nil {
		r.c.Log.WarnContext(ctx, "enrollment not reported", "error", err)
		return
	}
	r.link = l
	// A registrar without this operation answers 404, which is an answer.
	taken := r.tell(ctx, l, brski.OpEnrollStatus, "")
	r.st.EnrollReported = true
	if err := r.save(); err != nil {
		r.st.EnrollReported = false
		r.c.Log.WarnContext(ctx, "report of the enrollment not noted", "error", err)
		return
	}
	if taken {
		r.step(StepEnrolledTold, "", fmt.Sprintf("the registrar saw the certificate in use on a new connection to %s", r.address))
	}
}
