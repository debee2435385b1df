// Package admin is the operators' API of a registrar: REST under /api/v1,
// with the OpenAPI 3.1 document that is made from it ([OpenAPI]), a server of it
// ([Handler]), and a [Client], which is what the command line is.
//
// # How to add an operation
//
// An operation is one value in the table of table.go: what it is called, its
// method and path, the least role that may do it, and a function. To add some:
//
//  1. Make a new file, such as groups.go, with
//
//     func groupOperations() []operation {
//     return []operation{
//     define(Operation{ID: "group-list", Method: "GET", Path: "/groups", Role: Viewer,
//     Summary: "List the groups."}, (*api).listGroups),
//     define(Operation{ID: "group-show", Method: "GET", Path: "/groups/{group}", Role: Viewer,
//     Summary: "One group."}, (*api).showGroup),
//     define(Operation{ID: "group-apply", Method: "PUT", Path: "/groups/{group}", Role: Administrator,
//     Of: "group-show", Summary: "Change a group."}, (*api).applyGroup),
//     }
//     }
//
//     and one line in table.go. Paths are below /api/v1/domains/{domain}.
//
//  2. Each function is func(a *api, ctx context.Context, in *In) (*Out, error). In
//     is a struct with [By] embedded: By.Domain and By.Actor are filled in by the
//     server, from the path and from whoever was authenticated, never from the
//     body. Its fields are tagged with where they come from:
//     `path:"group" json:"-"`, `query:"state" json:"-"`, or `json:"name"` for a member of the
//     body; and with their bounds, which are enforced and documented: `max:"64"` (length of a text, value of a number, number of
//     elements), `enum:"a,b"`, `required:"true"`, `doc:"what it is"`. Unknown members and parameters are refused.
//     A big body is read as it comes from an [Upload] field (`body:"text/csv"`), a big answer written from a *[Download] result.
//
//  3. Lists embed [Page] in In and [Cursor] in Out, and call a.next. An Out is what is shown: wire types in
//     this package, never registrar's own structs.
//
//  4. Errors: wrap registrar.ErrNotFound, ErrConflict or ErrInvalid, or return an *est.Error with a reason id. Anything else is "internal".
//
//  5. Operations that return a secret, shown once, have Secret: true. Those that change one object name in Of the GET that shows it, for If-Match.
//
//  6. What an operation works on is a.s, the domain's registrar.Service, and a.domain: give [Domain] a field for
//     what it has not (an interface of this package or a func; parts of the registrar do not import each other), and wire it in
//     cmd/briskest/registrarserver.go.
//
//  7. A method of Client calls it by its ID with call[Out](ctx, c, "group-show", &In{...}), which
//     takes method, path and encoding from the table.
//
//  8. `go generate ./registrar/admin` writes docs/openapi.json anew; a test fails until it is. The
//     isolation test takes every operation of the table by itself: it needs an object of that operation's in
//     isolation_test.go when the path has a parameter that it does not know.
package admin

//go:generate go run ../../cmd/briskest api openapi --output ../../docs/openapi.json

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// Domain is what the API works on for one domain.
type Domain struct {
	Service *registrar.Service
	// Manifests verifies a signed manifest and imports its devices; nil: none are taken.
	Manifests func(ctx context.Context, in *ImportManifest) (*ImportReport, error)
}

// api is what an operation's function works on.
type api struct {
	s      *registrar.Service
	domain *Domain
	who    *Principal
}

// By says whose objects a request is about, and who acts. The server fills it
// in from the path and the authenticated principal.
type By struct {
	Domain string `json:"-"`
	Actor  string `json:"-"` // such as "cli:root"; for the trail
}

func (b *By) by() *By { return b }

// Nothing is an answer without content.
type Nothing struct{}

// Error is a refusal or a failure of the API, which travels as
// application/problem+json (RFC 9457, Section 3). It wraps registrar.ErrNotFound, ErrConflict,
// ErrInvalid or ErrFull according to its reason.
type Error struct {
	Type    string `json:"type"` // "urn:briskest:reason:" and the reason
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Reason  string `json:"reason"` // stable: "not-found", "conflict", "invalid", "internal", one of this package's, or the id of a registrar's refusal
	Message string `json:"detail"` // for people
	Request string `json:"request_id,omitempty"`
}

// refuse makes an Error.
func refuse(status int, reason, format string, args ...any) *Error {
	return &Error{Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is lets errors.Is find the registrar's sentinels on this side of the wire.
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
	case registrar.ReasonDeviceQuota:
		return registrar.ErrFull
	default:
		return nil
	}
}

func asError(err error) *Error {
	var own *Error
	var refusal *est.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "too-large", "the request is larger than %d bytes; send less at once", tooLarge.Limit)
	case errors.As(err, &refusal):
		return refuse(http.StatusUnprocessableEntity, refusal.Reason, "%s", refusal.Message)
	case errors.Is(err, registrar.ErrFull):
		return refuse(http.StatusConflict, registrar.ReasonDeviceQuota, "%s. %s", err, registrar.WayOut(registrar.ReasonDeviceQuota))
	case errors.Is(err, registrar.ErrInvalid):
		return refuse(http.StatusBadRequest, "invalid", "%s", err)
	case errors.Is(err, registrar.ErrNotFound):
		return refuse(http.StatusNotFound, "not-found", "%s", err)
	case errors.Is(err, registrar.ErrConflict):
		return refuse(http.StatusConflict, "conflict", "%s", err)
	default:
		return refuse(http.StatusInternalServerError, "internal", "%s", err)
	}
}

// problem is the error as it travels.
func (e *Error) problem(request string) []byte {
	out := *e
	out.Type, out.Title, out.Request = "urn:briskest:reason:"+e.Reason, http.StatusText(e.Status), request
	data, err := json.Marshal(&out)
	if err != nil { // texts and a number
		panic("admin: internal error: " + err.Error())
	}
	return data
}
