package rfc7030

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkCACertsForEverybody() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-4.1.2-1",
		Citation: "RFC 7030, Section 4.1.2",
		Text:     "CA certificates are given to clients that do not authenticate",
		Role:     conformance.RoleESTServer,
		Level:    conformance.ShouldNot,
		Run:      runCACertsForEverybody,
	}
}

func runCACertsForEverybody(ctx context.Context, t *conformance.Target) error {
	a, err := get(ctx, t, est.OpCACerts, conformance.Nobody)
	if err != nil {
		return err
	}
	if !a.OK() {
		return fmt.Errorf("%v to a client that is nobody, want 200", a)
	}
	return nil
}
