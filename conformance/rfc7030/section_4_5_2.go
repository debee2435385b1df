package rfc7030

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkCSRAttrs() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.5.2-1",
		Citation: "RFC 7030, Section 4.5.2",
		Text:     "CSR attributes are answered 200 with the base64 of a CsrAttrs, or with a status that says there are none",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runCSRAttrs,
	}
}

// 404 says the same as 204 and may also mean that the operation is not
// offered, which is the server's choice (RFC 7030, Section 3.2.2).
func runCSRAttrs(ctx context.Context, t *conformance.Target) error {
	a, err := get(ctx, t, est.OpCSRAttrs, conformance.AsTarget)
	if err != nil {
		return err
	}
	switch a.Status {
	case http.StatusOK:
		return judgeCSRAttrs(a)
	case http.StatusNoContent:
		return nil
	case http.StatusNotFound, http.StatusNotImplemented:
		return conformance.Skip("%v: CSR attributes are not offered, which a server may choose", a)
	default:
		return fmt.Errorf("%v, want 200 or 204", a)
	}
}

func judgeCSRAttrs(a *conformance.Answer) error {
	if got := a.MediaType(); got != typeCSRAttrs {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typeCSRAttrs)
	}
	der, err := decode(a.Body)
	if err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	if err := readCSRAttrs(der); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}
