package brskiregistrar

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
)

const goodStatus = `{"version":1,"status":true,"reason":"","reason-context":{}}`

// status is a post of telemetry (RFC 8995, Section 5.7).
func status(path, document string) wire.Request {
	return wire.Request{Method: http.MethodPost, Path: path, Header: [][2]string{{"Content-Type", "application/json"}}, Body: []byte(document)}
}

// telemetry: voucher_status and enrollstatus.
func telemetry() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.7", append(statuses("RFC8995-5.7-REG", pathVoucherStatus, "BRSKI-8995-5.7-02", "BRSKI-8995-5.7-03"),
			check{
				ID: "RFC8995-5.7-REG-7", Level: should, Text: "a version of telemetry above 1 is answered 200",
				Requirements: rows("BRSKI-8995-5.7-04"), Run: reports(pathVoucherStatus, `{"version":9,"status":true}`, ok),
			},
			check{
				ID: "RFC8995-5.7-REG-8", Level: must, Text: "keys that are not known are passed over",
				Requirements: rows("BRSKI-8995-5.7-05"), Run: reports(pathVoucherStatus, `{"version":1,"status":true,"colour":"blue"}`, ok),
			},
			check{
				ID: "RFC8995-5.7-REG-9", Level: must, Text: "GET voucher_status is answered 405",
				Requirements: rows("BRSKI-8995-5.7-02"), Run: func(ctx context.Context, t *Target) error {
					return t.reported(ctx, wire.Request{Method: http.MethodGet, Path: pathVoucherStatus}, exactly(http.StatusMethodNotAllowed))
				},
			})...),
		in("RFC 8995, Erratum 6834", check{
			ID: "RFC8995-E6834-REG-1", Level: must, Text: "a failure with reason and reason-context in lower case is taken",
			Requirements: rows("BRSKI-8995-ERRATA-6834-01"), Run: reports(pathVoucherStatus, `{"version":1,"status":false,"reason":"no","reason-context":{"pledge":"cold"}}`, ok),
		}),
		in("RFC 8995, Section 5.9.4", statuses("RFC8995-5.9.4-REG", pathEnrollStatus, "BRSKI-8995-5.9.4-04", "BRSKI-8995-5.9.4-06")...),
	)
}

// statuses are what the two operations have in common.
func statuses(prefix, path, row, okRow string) []check {
	one := func(n int, text string, level conformance.Level, row, document string, judge func(*wire.Answer) error) check {
		return check{ID: fmt.Sprintf("%s-%d", prefix, n), Level: level, Text: text, Requirements: rows(row), Run: reports(path, document, judge)}
	}
	operation := path[len(brski.PathPrefix)+1:]
	return []check{
		one(1, operation+" of a success is answered 200", should, okRow, goodStatus, ok),
		one(2, operation+" of a failure is answered 200", should, okRow, `{"version":1,"status":false,"reason":"none"}`, ok),
		one(3, operation+" without a version is refused", should, row, `{"status":true}`, bad),
		one(4, operation+" with Status for status is refused", should, row, `{"version":1,"Status":true}`, bad),
		one(5, operation+" that is no JSON is refused", must, row, `version 1`, bad),
		{
			ID: prefix + "-6", Level: must, Text: operation + " of a client without a certificate is refused", Requirements: rows(row),
			Run: func(ctx context.Context, t *Target) error {
				if err := t.need(ctx); err != nil {
					return err
				}
				r := status(path, goodStatus)
				a, err := t.Do(ctx, &wire.Options{Untrusted: true}, &r)
				if err != nil {
					return ctx.Err() // not let in at all
				}
				return bad(a)
			},
		},
	}
}

// reports sends telemetry after a voucher, as the pledge that got it.
func reports(path, document string, judge func(*wire.Answer) error) run {
	return func(ctx context.Context, t *Target) error { return t.reported(ctx, status(path, document), judge) }
}

func (t *Target) reported(ctx context.Context, r wire.Request, judge func(*wire.Answer) error) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	t.MASA.expect(nil)
	a, err := t.plain(ctx, r)
	if err != nil {
		return err
	}
	return judge(a)
}

func ok(a *wire.Answer) error {
	if a.Status == http.StatusNotFound {
		return skipf("%v: the registrar does not take it, which a pledge tolerates (see RFC8995-1.5-REG-2 and -3)", a)
	}
	if a.Status < 200 || a.Status > 299 {
		return fmt.Errorf("%v, want 200", a)
	}
	return nil
}

func bad(a *wire.Answer) error {
	if !a.Refused() {
		return fmt.Errorf("%v, want 4xx", a)
	}
	return nil
}

func exactly(want int) func(*wire.Answer) error {
	return func(a *wire.Answer) error {
		if a.Status != want {
			return fmt.Errorf("%v, want %d", a, want)
		}
		return nil
	}
}
