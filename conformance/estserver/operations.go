package estserver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// operations: paths and methods.
func operations() []check {
	return in("RFC 7030, Section 3.2.2",
		check{
			ID: "RFC7030-3.2.2-1", Level: must, Text: "a path that names no operation is not found",
			Requirements: rows("EST-7030-3.2.2-11"), Run: runUnknownOperation,
		},
		check{
			ID: "RFC7030-3.2.2-2", Level: must, Text: "an operation asked with another method than its own is refused",
			Requirements: rows("EST-7030-3.2.1-01"), Run: runWrongMethod,
		},
	)
}

// The section lists the operations and does not say how others are refused:
// HTTP does (RFC 9110, Section 15.5.5). 501 is what RFC 7030 itself names for
// operations that are known and not offered (RFC 7030, Section 4.3.2), and is taken too.
func runUnknownOperation(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, "briskest-no-such-operation", t.self())
	if err != nil {
		return err
	}
	if a.Status != http.StatusNotFound && a.Status != http.StatusNotImplemented {
		return fmt.Errorf("%v, want 404", a)
	}
	return nil
}

// libest a464ba8 answers 400, which refuses as well; that it should be 405 is
// for another check.
func runWrongMethod(ctx context.Context, t *Target) error {
	for _, r := range []wire.Request{
		{Method: http.MethodPost, Path: t.path(est.OpCACerts)},
		{Method: http.MethodGet, Path: t.path(est.OpSimpleEnroll)},
	} {
		a, err := t.do(ctx, t.self(), r)
		if err != nil {
			return err
		}
		if !a.Refused() && a.Status != http.StatusNotImplemented {
			return fmt.Errorf("%v, want 405", a)
		}
	}
	return nil
}
