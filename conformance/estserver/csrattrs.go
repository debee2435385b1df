package estserver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// csrAttributes: what a CSR should hold (RFC 7030, Section 4.5).
func csrAttributes() []check {
	return in("RFC 7030, Section 4.5.2",
		check{
			ID: "RFC7030-4.5.2-1", Level: must,
			Text:         "CSR attributes come with 200 as the base64 of a CsrAttrs in application/csrattrs, or 204 says that there are none",
			Requirements: rows("EST-7030-4.5.2-01", "EST-7030-4.5.2-05", "EST-7030-4.5.2-10", "EST-8951-4-01"), Run: runCSRAttrs,
		},
	)
}

// 404 says the same as 204 and may also mean that the operation is not
// offered, which is the server's choice (RFC 7030, Section 3.2.2).
func runCSRAttrs(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCSRAttrs, t.self())
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

func judgeCSRAttrs(a *wire.Answer) error {
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
