// Package admin offers the MASA's operator methods as JSON over HTTP, for a
// unix socket that only the operator may connect to, and a client for it.
// [Operator] is satisfied by *masa.Service in process and by [Client] over the
// socket, so that a command need not know which one it has.
//
// The handler authenticates nobody: the socket's permissions do.
package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/masa"
)

// Inventory is what an operator does about devices.
type Inventory interface {
	ImportDevices(ctx context.Context, in *masa.Import) (*masa.ImportReport, error)
	Device(ctx context.Context, ref masa.DeviceRef) (*masa.DeviceCase, error)
	ListDevices(ctx context.Context, p masa.Page) ([]*masa.Device, error)
	Block(ctx context.Context, r *masa.BlockRequest) (*masa.Device, error)
	Unblock(ctx context.Context, r *masa.BlockRequest) (*masa.Device, error)
}

// Ownership is what an operator does about sales.
type Ownership interface {
	AddOwner(ctx context.Context, c *masa.OwnerClaim) (*masa.Owner, error)
	ImportOwners(ctx context.Context, in *masa.OwnerImport) (*masa.ImportReport, error)
	EndOwner(ctx context.Context, r *masa.OwnerEnd) (*masa.DeviceCase, error)
	CreateClaims(ctx context.Context, r *masa.ClaimRequest) ([]*masa.ClaimCode, error)
	RedeemClaim(ctx context.Context, r *masa.Redemption) ([]*masa.Owner, error)
}

// Records is what an operator sees of vouchers.
type Records interface {
	ListVouchers(ctx context.Context, p masa.Page) ([]*masa.VoucherRecord, error)
	// AnswerCarried is for requests that come by hand; a refusal is an *est.Error.
	AnswerCarried(ctx context.Context, r *masa.CarriedRequest) (*masa.CarriedAnswer, error)
	AuditLog(ctx context.Context, ref masa.DeviceRef) (*brski.AuditLog, error)
	ConfirmRestore(ctx context.Context, r *masa.RestoreConfirmation) ([]*masa.Restore, error)
}

// Operator is all of it. Errors wrap masa.ErrInvalid, masa.ErrNotFound and
// masa.ErrConflict, over the socket too.
type Operator interface {
	Inventory
	Ownership
	Records
}

var (
	_ Operator = (*masa.Service)(nil)
	_ Operator = (*Client)(nil)
)

// The paths, each for POST with a JSON body and a JSON answer.
const (
	pathImport   = "/v1/devices/import"
	pathDevice   = "/v1/devices/show"
	pathDevices  = "/v1/devices/list"
	pathBlock    = "/v1/devices/block"
	pathUnblock  = "/v1/devices/unblock"
	pathOwner    = "/v1/owners/add"
	pathOwners   = "/v1/owners/import"
	pathOwnerEnd = "/v1/owners/end"
	pathClaims   = "/v1/claims/create"
	pathRedeem   = "/v1/claims/redeem"
	pathAuditLog = "/v1/devices/audit-log"
	pathVouchers = "/v1/vouchers/list"
	pathCarried  = "/v1/vouchers/carried"
	pathConfirm  = "/v1/restores/confirm"
)

// problem is the body of an answer that is not 200.
type problem struct {
	Code    string `json:"code"` // "invalid", "not-found", "conflict", "refused" or "internal"
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"` // of a refusal
}

// codes pairs the sentinels with what they are on the wire.
func codes() []struct {
	code   string
	status int
	err    error
} {
	return []struct {
		code   string
		status int
		err    error
	}{
		{"invalid", http.StatusBadRequest, masa.ErrInvalid},
		{"not-found", http.StatusNotFound, masa.ErrNotFound},
		{"conflict", http.StatusConflict, masa.ErrConflict},
	}
}

// remoteError is an error of the other side: its text, and what it wraps.
type remoteError struct {
	text  string
	cause error // a sentinel, or nil
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error { return e.cause }

func newProblem(err error) (int, *problem) {
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			return c.status, &problem{Code: c.code, Message: err.Error()}
		}
	}
	var refusal *est.Error
	if errors.As(err, &refusal) {
		return http.StatusUnprocessableEntity, &problem{Code: "refused", Message: refusal.Message, Reason: refusal.Reason}
	}
	return http.StatusInternalServerError, &problem{Code: "internal", Message: err.Error()}
}

func (p *problem) error() error {
	if p.Code == "refused" {
		return &est.Error{Status: http.StatusForbidden, Reason: p.Reason, Message: p.Message}
	}
	for _, c := range codes() {
		if c.code == p.Code {
			return &remoteError{p.Message, c.err}
		}
	}
	return &remoteError{p.Message, nil}
}
