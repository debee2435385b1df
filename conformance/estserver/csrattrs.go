package estserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

// csrAttributes: what a CSR should hold (RFC 7030, Section 4.5).
func csrAttributes() []check {
	return slices.Concat(in("RFC 7030, Section 4.5",
		check{
			ID: "RFC7030-4.5-1", Level: should, Text: "CSR attributes are given to clients that are not authenticated",
			Requirements: rows("EST-7030-4.5-02"), Run: runCSRAttrsForEverybody,
		},
	), in("RFC 7030, Section 4.5.2",
		check{
			ID: "RFC7030-4.5.2-1", Level: must,
			Text:         "CSR attributes come with 200, or 204 says that there are none",
			Requirements: rows("EST-7030-4.5.2-01"), Run: runCSRAttrs,
		},
		check{
			ID: "RFC7030-4.5.2-2", Level: must, Text: "CSR attributes come as application/csrattrs",
			Requirements: rows("EST-7030-4.5.2-05", "EST-7030-3.2.4-01"), Run: runCSRAttrsType,
		},
		check{
			ID: "RFC7030-4.5.2-3", Level: may, Text: "that there are no CSR attributes is said by 204 without a body, or by 404",
			Requirements: rows("EST-7030-4.5.2-02", "EST-7030-3.2.2-07"), Run: runNoCSRAttrs,
		},
		check{
			ID: "RFC7030-4.5.2-4", Level: must, Text: "a server that wants CSRs linked to their connection says so in the CSR attributes",
			Requirements: rows("EST-7030-4.5.2-08", "EST-7894-3-01", "EST-7030-3.5-04"), Run: runLinkAnnounced,
		},
	), in("RFC 8951, Section 4",
		check{
			ID: "RFC8951-4-1", Level: must, Text: "CSR attributes are DER of a SEQUENCE of OIDs and attributes",
			Requirements: rows("EST-8951-4-01", "EST-7030-4.5.2-10"), Run: runCSRAttrsModule,
		},
	))
}

func runCSRAttrsForEverybody(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCSRAttrs, nobody())
	if err != nil {
		return err
	}
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return fmt.Errorf("%v to a client that is nobody, want the attributes, 204 or 404", a)
	}
	return nil
}

func runCSRAttrsType(ctx context.Context, t *Target) error {
	a, err := t.csrAttrsAnswer(ctx)
	if err != nil {
		return err
	}
	if got := a.MediaType(); got != typeCSRAttrs {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typeCSRAttrs)
	}
	return nil
}

func runNoCSRAttrs(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCSRAttrs, t.self())
	if err != nil {
		return err
	}
	if a.Status == http.StatusNoContent && len(a.Body) > 0 {
		return fmt.Errorf("%v with a body of %d bytes", a, len(a.Body))
	}
	if a.Status == http.StatusOK && len(a.Body) == 0 {
		return fmt.Errorf("%v without a body, want 204", a)
	}
	return nil
}

func runLinkAnnounced(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
	if err != nil {
		return err
	}
	wanted := strings.Contains(strings.ToLower(string(a.Body)), "link")
	if key, err := t.key(); err == nil && a.OK() {
		_, _ = issued(ctx, a, key) // names it as left; whether it is right is for others to say
	}
	if !a.Refused() || !wanted {
		return nil
	}
	attrs, err := t.get(ctx, est.OpCSRAttrs, t.self())
	if err != nil {
		return err
	}
	der, err := decode(attrs.Body)
	if err != nil || !bytes.Contains(der, oid(oidChallengePassword)) && !bytes.Contains(der, oid(oidIdentityLinking)) {
		return fmt.Errorf("%v to a CSR without a link, and csrattrs do not ask for one", a)
	}
	return nil
}

func runCSRAttrsModule(ctx context.Context, t *Target) error {
	a, err := t.csrAttrsAnswer(ctx)
	if err != nil {
		return err
	}
	der, err := decode(a.Body)
	if err != nil {
		return conformance.Skip("%v, and its body: %v (see RFC8951-3-9)", a, err)
	}
	if err := readCSRAttrs(der); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

// 404 says the same as 204 and may also mean that the operation is not
// offered, which is the server's choice (RFC 7030, Section 3.2.2).
func runCSRAttrs(ctx context.Context, t *Target) error {
	a, err := t.get(ctx, est.OpCSRAttrs, t.self())
	if err != nil {
		return err
	}
	switch a.Status {
	case http.StatusOK, http.StatusNoContent:
		return nil
	case http.StatusNotFound, http.StatusNotImplemented:
		return conformance.Skip("%v: CSR attributes are not offered, which a server may choose", a)
	default:
		return fmt.Errorf("%v, want 200 or 204", a)
	}
}
