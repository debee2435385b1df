package brskimasa

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
)

func skipf(format string, args ...any) error { return conformance.Skip(format, args...) }

// run asks a target.
type run = func(context.Context, *Target) error

// making prepares a request, which may take certificates that are made for it.
type making func(context.Context, *Target) (asking, error)

// just is a request without preparation.
func just(a asking) making { return func(context.Context, *Target) (asking, error) { return a, nil } }

// following makes a request once a good one has been seen to succeed.
func (t *Target) following(ctx context.Context, make making) (asking, error) {
	if _, err := t.good(ctx); err != nil {
		return asking{}, err
	}
	return make(ctx, t)
}

// judged sends a request, once a good one has been seen to succeed, and judges what came of it.
func judged(make making, judge func(*exchange) error) run {
	return func(ctx context.Context, t *Target) error {
		a, err := t.following(ctx, make)
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, a)
		if err != nil {
			return err
		}
		return judge(x)
	}
}

// taken wants a voucher for each request.
func taken(requests ...asking) run {
	return func(ctx context.Context, t *Target) error {
		for _, a := range requests {
			if err := judged(just(a), succeeded)(ctx, t); err != nil {
				return err
			}
		}
		return nil
	}
}

func succeeded(x *exchange) error {
	if x.answer.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", x.answer)
	}
	return nil
}

// opened wants a voucher and looks into it; one that does not open is for others.
func opened(make making, judge func(*exchange) error) run {
	return judged(make, func(x *exchange) error {
		if err := succeeded(x); err != nil {
			return err
		}
		if x.voucher == nil {
			return skipf("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
		}
		return judge(x)
	})
}

// refused wants an answer of 4xx, with one of these statuses where some are
// named. Without, a connection that is not let in is refused too.
func refused(make making, statuses ...int) run {
	return func(ctx context.Context, t *Target) error {
		a, err := t.following(ctx, make)
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, a)
		switch {
		case err != nil && len(statuses) == 0 && ctx.Err() == nil:
			return t.alive(ctx, err)
		case err != nil:
			return err
		case len(statuses) > 0 && !slices.Contains(statuses, x.answer.Status):
			return fmt.Errorf("%v, want one of %v", x.answer, statuses)
		case !x.answer.Refused():
			return fmt.Errorf("%v, want 4xx", x.answer)
		}
		return nil
	}
}

// alive tells a refusal at the connection from a MASA that is gone.
func (t *Target) alive(ctx context.Context, why error) error {
	if err := t.Reachable(ctx); err != nil {
		return fmt.Errorf("%w, and afterwards: %w", why, err)
	}
	return nil
}

func content(f func(*voucher.Request)) making { return just(asking{content: f}) }

func body(f func([]byte) []byte) making { return just(asking{body: f}) }

func edited(f func(*wire.Request)) making { return just(asking{edit: f}) }

// field replaces a header line; an empty value takes it away.
func field(name, value string) func(*wire.Request) {
	return func(r *wire.Request) {
		r.Header = slices.DeleteFunc(slices.Clone(r.Header), func(h [2]string) bool { return h[0] == name })
		if value != "" {
			r.Header = append(r.Header, [2]string{name, value})
		}
	}
}

// first looks at the first good exchange.
func first(judge func(*exchange) error) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.good(ctx)
		if err != nil {
			return err
		}
		return judge(x)
	}
}

// looked looks into the voucher of the first good exchange.
func looked(judge func(*exchange) error) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.read(ctx)
		if err != nil {
			return err
		}
		return judge(x)
	}
}

// log asks for the audit-log of a device.
func log(a asking) asking {
	a.operation = brski.OpRequestAuditLog
	return a
}
