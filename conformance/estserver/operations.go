package estserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance"
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
		check{
			ID: "RFC7030-3.2.2-3", Level: must, Text: "the operations are served below /.well-known/est without a label",
			Requirements: rows("EST-7030-3.2.2-01", "EST-7030-3.2.2-10"), Run: runWithoutLabel,
		},
		check{
			ID: "RFC7030-3.2.2-4", Level: must, Text: "an unknown label is a client's error, and not the default CA",
			Requirements: rows("EST-7030-3.2.2-11"), Run: notFound("/briskest-no-such-label/cacerts"),
		},
		check{
			ID: "RFC7030-3.2.2-5", Level: must, Text: "two segments in the place of a label are a client's error",
			Requirements: rows("EST-7030-3.2.2-11"), Run: notFound("/a/b/cacerts"),
		},
		check{
			ID: "RFC7030-3.2.2-6", Level: must, Text: "the name of an operation is no label",
			Requirements: rows("EST-7030-3.2.2-09"), Run: notFound("/cacerts/cacerts", "/simpleenroll/cacerts"),
		},
		check{
			ID: "RFC7030-3.2.2-7", Level: must, Text: "an escaped slash does not make two segments a label",
			Requirements: rows("EST-7030-3.2.2-11"), Run: notFound("/a%2Fb/cacerts", "/..%2f/cacerts"),
		},
		check{
			ID: "RFC7030-3.2.2-8", Level: may, Text: "an optional operation that is not offered is answered 404 or 501",
			Requirements: rows("EST-7030-3.2.2-05", "EST-7030-3.2.2-06"), Run: runOptional,
		},
		check{
			ID: "RFC7030-3.2.2-9", Level: must, Text: "simplereenroll is offered",
			Requirements: rows("EST-7030-3.2.2-04"), Run: offered(est.OpSimpleReenroll),
		},
		check{
			ID: "RFC7030-3.2.2-10", Level: must, Text: "simpleenroll is offered",
			Requirements: rows("EST-7030-3.2.2-03"), Run: offered(est.OpSimpleEnroll),
		},
		check{
			ID: "RFC7030-3.2.2-11", Level: may, Text: "a label selects a CA, for which cacerts is answered",
			Requirements: rows("EST-7030-3.2.2-08"), Run: runLabel,
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
// for RFC9110-15.5.6-1 and -2 to say.
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

func runWithoutLabel(ctx context.Context, t *Target) error {
	a, err := t.do(ctx, t.self(), wire.Request{Method: http.MethodGet, Path: est.PathPrefix + "/cacerts"})
	if err != nil {
		return err
	}
	if !a.OK() {
		return fmt.Errorf("%v, want the CA certificates of the default CA", a)
	}
	return nil
}

// notFound is a check that each of these paths is refused.
func notFound(paths ...string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		if _, err := t.cacerts(ctx); err != nil {
			return err
		}
		for _, path := range paths {
			a, err := t.do(ctx, t.self(), wire.Request{Method: http.MethodGet, Path: est.PathPrefix + path})
			if err != nil {
				return err
			}
			if !a.Refused() {
				return fmt.Errorf("%v, want 404 or another 4xx", a)
			}
		}
		return nil
	}
}

func runOptional(ctx context.Context, t *Target) error {
	for _, op := range []est.Operation{est.OpFullCMC, est.OpServerKeyGen} {
		a, err := t.do(ctx, nobody(), wire.Request{Method: http.MethodPost, Path: t.path(op)})
		if err != nil {
			return err
		}
		if a.Status >= 500 && a.Status != http.StatusNotImplemented {
			return fmt.Errorf("%v: what is not offered is answered 404 or 501", a)
		}
	}
	return nil
}

// offered is a check that the operation is there: whatever it answers to
// nobody, it is not that it does not exist.
func offered(op est.Operation) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		_, csr, err := t.plainCSR()
		if err != nil {
			return err
		}
		a, err := t.post(ctx, op, nobody(), encode(csr))
		if err != nil {
			return err
		}
		if slices.Contains([]int{http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed}, a.Status) {
			return fmt.Errorf("%v: it is mandatory", a)
		}
		return nil
	}
}

func runLabel(ctx context.Context, t *Target) error {
	if t.Label == "" {
		return conformance.Skip("no label was given; give one with --label if the server has several CAs")
	}
	a, err := t.get(ctx, est.OpCACerts, t.self())
	if err != nil {
		return err
	}
	if a.Refused() {
		return fmt.Errorf("%v: the label %q is not served", a, t.Label)
	}
	return nil
}
