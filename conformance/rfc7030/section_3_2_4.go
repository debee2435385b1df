package rfc7030

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkRequestMediaType() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-3.2.4-1",
		Citation: "RFC 7030, Section 3.2.4",
		Text:     "an enrollment whose Content-Type is not application/pkcs10 is refused",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runRequestMediaType,
	}
}

// The CSR is a good one: the media type is all that is wrong.
func runRequestMediaType(ctx context.Context, t *conformance.Target) error {
	if err := needCredentials(t); err != nil {
		return err
	}
	c, err := newCandidate(t)
	if err != nil {
		return err
	}
	a, err := t.Do(ctx, &conformance.Request{
		Method: http.MethodPost, Path: path(t, est.OpSimpleEnroll), ContentType: "text/plain", Body: c.body(), As: conformance.AsTarget,
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
