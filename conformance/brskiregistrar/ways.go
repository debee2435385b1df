package brskiregistrar

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
)

// run is a check's way to ask.
type run = func(context.Context, *Target) error

// making prepares a request, which may take a device that is made for it.
type making func(*Target) (asking, error)

// just is a request without preparation.
func just(a asking) making { return func(*Target) (asking, error) { return a, nil } }

// with is a request by another device.
func with(device func(*Target) (*tls.Certificate, error)) making {
	return func(t *Target) (asking, error) {
		pledge, err := device(t)
		return asking{pledge: pledge}, err
	}
}

// judged sends a request, once a good one has been seen to succeed, and judges what came of it.
func judged(make making, judge func(*exchange) error) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		a, err := make(t)
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, a)
		if err != nil {
			return err
		}
		x.record(ctx)
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

// refused wants an answer of 4xx, without a question to the MASA. A connection
// that is not let in at all is refused too.
func refused(make making) run { return refusedWith(make) }

// refusedWith wants one of these statuses; none means any 4xx.
func refusedWith(make making, statuses ...int) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		a, err := make(t)
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, a)
		if err != nil {
			if len(statuses) == 0 && ctx.Err() == nil {
				if seen := t.MASA.arrivals(); len(seen) > 0 {
					return fmt.Errorf("the connection ended (%v) and the MASA was asked all the same", err)
				}
				return nil
			}
			return err
		}
		x.record(ctx)
		switch {
		case len(statuses) > 0 && !slices.Contains(statuses, x.answer.Status):
			return fmt.Errorf("%v, want one of %v", x.answer, statuses)
		case !x.answer.Refused():
			return fmt.Errorf("%v, want 4xx", x.answer)
		case len(x.requested()) > 0:
			return fmt.Errorf("%v, and the MASA was asked all the same", x.answer)
		}
		return nil
	}
}

// seen wants the MASA to be asked, and looks at the first question.
func seen(make making, judge func(x *exchange, a *arrival) error) run {
	return judged(make, func(x *exchange) error {
		asked := x.requested()
		if len(asked) == 0 {
			return fmt.Errorf("%v, and the MASA was not asked", x.answer)
		}
		return judge(x, asked[0])
	})
}

// read is seen for what has to be read: requests that do not open are for RFC8995-5.5-REG-1.
func read(make making, judge func(x *exchange, a *arrival) error) run {
	return seen(make, func(x *exchange, a *arrival) error {
		if a.request == nil {
			return skipf("the registrar's voucher-request does not open (see RFC8995-5.5-REG-1): %v", a.err)
		}
		return judge(x, a)
	})
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

// first looks at the first question to the MASA, whatever came of it.
func first(judge func(x *exchange, a *arrival) error) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.attempt(ctx)
		if err != nil {
			return err
		}
		x.record(ctx)
		return judge(x, x.requested()[0])
	}
}
