package estserver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// Media types (RFC 7030, Section 3.2.4).
const (
	typePKCS7    = "application/pkcs7-mime"
	typePKCS10   = "application/pkcs10"
	typeCSRAttrs = "application/csrattrs"
)

// mediaTypes: the Content-Type of requests (RFC 7030, Section 3.2.4).
func mediaTypes() []check {
	return in("RFC 7030, Section 3.2.4",
		check{
			ID: "RFC7030-3.2.4-1", Level: must, Text: "an enrollment whose Content-Type is not application/pkcs10 is refused",
			Requirements: rows("EST-7030-3.2.4-01", "EST-7030-4.2.1-05"), Run: runRequestMediaType,
		},
	)
}

// The CSR is a good one: the media type is all that is wrong.
func runRequestMediaType(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.do(ctx, t.self(), wire.Request{
		Method: http.MethodPost, Path: t.path(est.OpSimpleEnroll), Header: [][2]string{{"Content-Type", "text/plain"}}, Body: encode(csr),
	})
	if err != nil {
		return err
	}
	if err := turnedAway(a); err != nil {
		return err
	}
	if !a.Refused() {
		return fmt.Errorf("%v to a CSR sent as text/plain, want 415 or another 4xx", a)
	}
	return nil
}
