// Package admin is the operator's interface to a registrar: a JSON API
// ([Handler]) meant for a unix socket that only its owner may connect to, and a
// [Client] for it, over the socket or in process. Whoever reaches it may do
// everything; the name of who acts is the client's word, for the trail.
//
// Each call is POST /v1/NAME with one JSON object and gets one back. Unknown
// members are refused. An error is {"reason", "message"} with the status 400,
// 404, 409, 422 or 500.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// maxBody bounds a request: an import of 10000 devices with their certificates.
const maxBody = 32 << 20

// Handler serves the API over a service.
func Handler(s *registrar.Service) http.Handler {
	h := &handler{calls: map[string]call{}}
	a := &api{s}
	route(h, "device-import", a.importDevices)
	route(h, "device-list", a.listDevices)
	route(h, "device-show", a.showDevice)
	route(h, "device-evidence", a.evidence)
	route(h, "device-why", a.why)
	route(h, "device-state", a.setDeviceState)
	route(h, "request-list", a.listRequests)
	route(h, "request-approve", a.approve)
	route(h, "request-deny", a.deny)
	route(h, "credential-add", a.addCredential)
	route(h, "credential-list", a.listCredentials)
	route(h, "credential-disable", a.disableCredential)
	route(h, "code-add", a.addCode)
	route(h, "code-list", a.listCodes)
	route(h, "code-revoke", a.revokeCode)
	route(h, "certificate-list", a.listCertificates)
	route(h, "certificate-revoke", a.revoke)
	route(h, "certificate-release", a.release)
	route(h, "certificate-revoke-many", a.revokeMany)
	route(h, "certificate-issue", a.issue)
	route(h, "crl-sign", a.signCRL)
	route(h, "crl-show", a.showCRL)
	route(h, "trail-list", a.listTrail)
	route(h, "voucher-order", a.orderVoucher)
	route(h, "voucher-fetch", a.fetchVoucher)
	route(h, "voucher-import", a.importVoucher)
	route(h, "voucher-list", a.listAheadVouchers)
	routeGroups(h, a)
	route(h, "status", a.status)
	routeEvents(h, a)
	return h
}

type handler struct{ calls map[string]call }

type call func(ctx context.Context, body io.Reader) (any, error)

// route registers one call by its name.
func route[In, Out any](h *handler, name string, f func(ctx context.Context, in *In) (*Out, error)) {
	h.calls[name] = func(ctx context.Context, body io.Reader) (any, error) {
		in := new(In)
		d := json.NewDecoder(body)
		d.DisallowUnknownFields()
		if err := d.Decode(in); err != nil {
			return nil, fmt.Errorf("request body: %w: %w", registrar.ErrInvalid, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("request body: something follows the object: %w", registrar.ErrInvalid)
		}
		return f(ctx, in)
	}
}

// ServeHTTP answers one call.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	c := h.calls[name]
	switch {
	case !ok || c == nil:
		writeError(w, &Error{Status: http.StatusNotFound, Reason: "unknown-call", Message: "there is no such call; this server may be older than the client"})
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, &Error{Status: http.StatusMethodNotAllowed, Reason: "method-not-allowed", Message: "calls are POSTed"})
		return
	}
	out, err := c(r.Context(), http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, asError(err))
		return
	}
	write(w, http.StatusOK, out)
}

func write(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"reason":"internal","message":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // an error means that the client is gone
}

func writeError(w http.ResponseWriter, e *Error) { write(w, e.Status, e) }

// Error is a refusal or a failure of the API. It wraps registrar.ErrNotFound,
// ErrConflict or ErrInvalid according to its reason.
type Error struct {
	Status  int    `json:"-"`
	Reason  string `json:"reason"`  // stable: "not-found", "conflict", "invalid", "internal", or the id of a registrar's refusal
	Message string `json:"message"` // for people
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is lets errors.Is find the registrar's sentinels on this side of the socket.
func (e *Error) Is(target error) bool {
	return target == sentinel(e.Reason) //nolint:errorlint // the sentinels themselves
}

func sentinel(reason string) error {
	switch reason {
	case "not-found":
		return registrar.ErrNotFound
	case "conflict":
		return registrar.ErrConflict
	case "invalid":
		return registrar.ErrInvalid
	default:
		return nil
	}
}

func asError(err error) *Error {
	var refusal *est.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{http.StatusBadRequest, "invalid", fmt.Sprintf("the request is larger than %d bytes; send less at once", tooLarge.Limit)}
	case errors.As(err, &refusal):
		return &Error{http.StatusUnprocessableEntity, refusal.Reason, refusal.Message}
	case errors.Is(err, registrar.ErrInvalid):
		return &Error{http.StatusBadRequest, "invalid", err.Error()}
	case errors.Is(err, registrar.ErrNotFound):
		return &Error{http.StatusNotFound, "not-found", err.Error()}
	case errors.Is(err, registrar.ErrConflict):
		return &Error{http.StatusConflict, "conflict", err.Error()}
	default:
		// Operators may see what went wrong; this is their own machine.
		return &Error{http.StatusInternalServerError, "internal", err.Error()}
	}
}
