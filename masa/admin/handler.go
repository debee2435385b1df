package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/briskest/briskest/masa"
)

// maxBody is the most bytes of a request: an import of masa.MaxImport devices with certificates.
const maxBody = 32 << 20

// Handler serves op's methods. Log may be nil.
func Handler(op Operator, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	handle(mux, log, pathImport, op.ImportDevices)
	handle(mux, log, pathDevice, byValue(op.Device))
	handle(mux, log, pathDevices, byValue(op.ListDevices))
	handle(mux, log, pathBlock, op.Block)
	handle(mux, log, pathUnblock, op.Unblock)
	handle(mux, log, pathOwner, op.AddOwner)
	handle(mux, log, pathOwners, op.ImportOwners)
	handle(mux, log, pathOwnerEnd, op.EndOwner)
	handle(mux, log, pathClaims, op.CreateClaims)
	handle(mux, log, pathRedeem, op.RedeemClaim)
	handle(mux, log, pathAuditLog, byValue(op.AuditLog))
	handle(mux, log, pathVouchers, byValue(op.ListVouchers))
	handle(mux, log, pathCarried, op.AnswerCarried)
	handle(mux, log, pathConfirm, op.ConfirmRestore)
	return mux
}

func byValue[Q, A any](f func(context.Context, Q) (A, error)) func(context.Context, *Q) (A, error) {
	return func(ctx context.Context, q *Q) (A, error) { return f(ctx, *q) }
}

// handle serves one method: strict JSON in, JSON out.
func handle[Q, A any](mux *http.ServeMux, log *slog.Logger, path string, f func(context.Context, *Q) (A, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		question := new(Q)
		if err := decode(http.MaxBytesReader(w, r.Body, maxBody), question); err != nil {
			answer(r.Context(), w, log, path, nil, fmt.Errorf("%w: %w", masa.ErrInvalid, err))
			return
		}
		result, err := f(r.Context(), question)
		answer(r.Context(), w, log, path, result, err)
	})
}

func decode(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the request is not as expected: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow the JSON request")
	}
	return nil
}

func answer(ctx context.Context, w http.ResponseWriter, log *slog.Logger, path string, result any, err error) {
	status := http.StatusOK
	if err != nil {
		status, result = newProblem(err)
		log.WarnContext(ctx, "operator's request refused", slog.String("path", path), slog.Int("status", status), slog.Any("error", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(result); err != nil {
		log.DebugContext(ctx, "operator has gone", slog.Any("error", err))
	}
}
