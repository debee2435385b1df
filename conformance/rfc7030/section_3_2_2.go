package rfc7030

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkUnknownOperation() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-3.2.2-1",
		Citation: "RFC 7030, Section 3.2.2",
		Text:     "a path that names no operation is not found",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runUnknownOperation,
	}
}

// The section lists the operations and does not say how others are refused:
// HTTP does (RFC 9110, Section 15.5.5). 501 is what RFC 7030 itself names for
// operations that are known and not offered (RFC 7030, Section 4.3.2), and is taken too.
func runUnknownOperation(ctx context.Context, t *conformance.Target) error {
	a, err := get(ctx, t, "briskest-no-such-operation", conformance.AsTarget)
	if err != nil {
		return err
	}
	if a.Status != http.StatusNotFound && a.Status != http.StatusNotImplemented {
		return fmt.Errorf("%v, want 404", a)
	}
	return nil
}

func checkWrongMethod() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-3.2.2-2",
		Citation: "RFC 7030, Section 3.2.2",
		Text:     "an operation asked with another method than its own is refused",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runWrongMethod,
	}
}

// 405 is what HTTP asks for (RFC 9110, Section 15.5.6); libest a464ba8 answers
// 400, which refuses as well.
func runWrongMethod(ctx context.Context, t *conformance.Target) error {
	for _, r := range []*conformance.Request{
		{Method: http.MethodPost, Path: path(t, est.OpCACerts), As: conformance.AsTarget},
		{Method: http.MethodGet, Path: path(t, est.OpSimpleEnroll), As: conformance.AsTarget},
	} {
		a, err := t.Do(ctx, r)
		if err != nil {
			return err
		}
		if !a.Refused() && a.Status != http.StatusNotImplemented {
			return fmt.Errorf("%v, want 405", a)
		}
	}
	return nil
}
