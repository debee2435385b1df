package estserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// semantics: what HTTP asks of every server.
func semantics() []check {
	return slices.Concat(
		in("RFC 9110, Section 5.1",
			check{
				ID: "RFC9110-5.1-1", Level: must, Text: "header names are compared without regard to case",
				Requirements: rows("EST-9110-5.1-01"), Run: accepts(request(oddCase(strings.ToLower)), request(oddCase(strings.ToUpper))),
			},
		),
		in("RFC 9110, Section 8.3.1",
			check{
				ID: "RFC9110-8.3.1-1", Level: must, Text: "media types are compared without regard to case",
				Requirements: rows("EST-9110-8.3.1-01", "EST-7030-4.2.1-05"), Run: accepts(headers([2]string{"Content-Type", "Application/PKCS10"})),
			},
			check{
				ID: "RFC9110-8.3.1-2", Level: must, Text: "parameters of application/pkcs10 are no reason to refuse",
				Requirements: rows("EST-7030-4.2.1-05"), Run: accepts(headers([2]string{"Content-Type", "application/pkcs10; charset=utf-8"}), headers([2]string{"Content-Type", `application/pkcs10;name="a b.p10"`})),
			},
		),
		in("RFC 9110, Section 9.3.2",
			check{
				ID: "RFC9110-9.3.2-1", Level: should, Text: "HEAD cacerts is answered as GET is, without the body",
				Requirements: rows("EST-9110-9.3.2-01"), Run: runHead,
			},
		),
		in("RFC 9110, Section 15.5.6", wrongMethods()...),
		in("RFC 9112, Section 6.2", lengths()...),
		in("RFC 9112, Section 7.1",
			check{
				ID: "RFC9112-7.1-1", Level: must, Text: "a request in one chunk is taken",
				Requirements: rows("EST-9112-7.1-01"), Run: accepts(request(func(r *wire.Request) { r.Chunks = len(r.Body) })),
			},
			check{
				ID: "RFC9112-7.1-2", Level: must, Text: "a request in chunks of seven bytes is taken",
				Requirements: rows("EST-9112-7.1-01"), Run: accepts(request(func(r *wire.Request) { r.Chunks = 7 })),
			},
		),
		in("RFC 9112, Section 9.3", connections()...),
		in("RFC 9110, Section 10.2.3", check{
			ID: "RFC9110-10.2.3-1", Level: must, Text: "202 comes with a Retry-After in seconds or as a date",
			Requirements: rows("EST-7030-4.2.3-08", "EST-9110-10.2.3-01"), Run: runRetryAfter,
		}),
	)
}

// oddCase spells the header names in another case.
func oddCase(f func(string) string) func(*wire.Request) {
	return func(r *wire.Request) {
		for i := range r.Header {
			r.Header[i][0] = f(r.Header[i][0])
		}
	}
}

func runHead(ctx context.Context, t *Target) error {
	get, err := t.cacerts(ctx)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, t.self(), wire.Request{Method: http.MethodHead, Path: t.path(est.OpCACerts), Close: true})
	if err != nil {
		return err
	}
	switch {
	case a.Status != get.Status:
		return fmt.Errorf("%v, and GET %d", a, get.Status)
	case a.MediaType() != get.MediaType():
		return fmt.Errorf("%v with Content-Type %q, and GET with %q", a, a.Header.Get("Content-Type"), get.Header.Get("Content-Type"))
	}
	return nil
}

func wrongMethods() []check {
	one := func(id, text string, method string, op est.Operation, rowIDs ...string) check {
		return check{ID: id, Level: must, Text: text, Requirements: append(rows("EST-9110-15.5.6-01"), rowIDs...), Run: func(ctx context.Context, t *Target) error {
			return t.notAllowed(ctx, method, op)
		}}
	}
	return []check{
		one("RFC9110-15.5.6-1", "POST cacerts is answered 405 with Allow", http.MethodPost, est.OpCACerts),
		one("RFC9110-15.5.6-2", "GET simpleenroll is answered 405 with Allow", http.MethodGet, est.OpSimpleEnroll),
		one("RFC9110-15.5.6-3", "GET simplereenroll is answered 405 with Allow", http.MethodGet, est.OpSimpleReenroll),
		one("RFC9110-15.5.6-4", "DELETE cacerts is answered 405 with Allow", http.MethodDelete, est.OpCACerts),
		one("RFC9110-15.5.6-5", "POST csrattrs is answered 405 with Allow, where it is served", http.MethodPost, est.OpCSRAttrs),
		one("RFC9110-15.5.6-6", "GET fullcmc is answered 405 with Allow, where it is served", http.MethodGet, est.OpFullCMC, "EST-5273-5-01"),
		one("RFC9110-15.5.6-7", "GET serverkeygen is answered 405 with Allow, where it is served", http.MethodGet, est.OpServerKeyGen),
	}
}

// notAllowed wants 405 with Allow, which does not name the method.
func (t *Target) notAllowed(ctx context.Context, method string, op est.Operation) error {
	a, err := t.do(ctx, t.self(), wire.Request{Method: method, Path: t.path(op)})
	if err != nil {
		return err
	}
	optional := op != est.OpCACerts && op != est.OpSimpleEnroll && op != est.OpSimpleReenroll
	allow := a.Header.Get("Allow")
	switch {
	case optional && (a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented):
		return conformance.Skip("%v: not offered, which a server may choose", a)
	case a.Status != http.StatusMethodNotAllowed:
		return fmt.Errorf("%v, want 405", a)
	case allow == "":
		return fmt.Errorf("%v without an Allow header", a)
	case slices.Contains(strings.Split(strings.ReplaceAll(allow, " ", ""), ","), method):
		return fmt.Errorf("%v and Allow: %s, which names the method", a, allow)
	}
	return nil
}

func lengths() []check {
	length := func(ask func(context.Context, *Target) (*wire.Answer, error)) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error {
			a, err := ask(ctx, t)
			if err != nil {
				return err
			}
			if a.Length < 0 && a.Status != http.StatusNoContent {
				return fmt.Errorf("%v without Content-Length: libest and strongSwan cannot read that", a)
			}
			return nil
		}
	}
	return []check{
		{
			ID: "RFC9112-6.2-1", Level: should, Text: "cacerts is answered with a Content-Length",
			Requirements: rows("EST-9112-6.2-01"), Run: length(func(ctx context.Context, t *Target) (*wire.Answer, error) { return t.cacerts(ctx) }),
		},
		{
			ID: "RFC9112-6.2-2", Level: should, Text: "an enrollment is answered with a Content-Length",
			Requirements: rows("EST-9112-6.2-01"), Run: length(func(ctx context.Context, t *Target) (*wire.Answer, error) { return t.enrollAnswer(ctx) }),
		},
		{
			ID: "RFC9112-6.2-3", Level: should, Text: "a refusal is answered with a Content-Length",
			Requirements: rows("EST-9112-6.2-01"), Run: length(func(ctx context.Context, t *Target) (*wire.Answer, error) {
				return t.post(ctx, est.OpSimpleEnroll, t.self(), []byte("no CSR"))
			}),
		},
	}
}

func connections() []check {
	return []check{
		{
			ID: "RFC9112-9.3-1", Level: must, Text: "a connection carries a second request, or its first answer says that it is closed",
			Requirements: rows("EST-9112-9.3-01"), Run: runKeepAlive,
		},
		{
			ID: "RFC9112-9.3-2", Level: must, Text: "Connection: close is answered in full, and then the connection ends",
			Requirements: rows("EST-9112-9.3-01"), Run: runClose,
		},
		{
			ID: "RFC9112-9.3-3", Level: must, Text: "a client of HTTP/1.0 gets its answer, and then the connection ends",
			Requirements: rows("EST-9112-9.3-01"), Run: runHTTP10,
		},
	}
}

func runKeepAlive(ctx context.Context, t *Target) error {
	c, err := t.Dial(ctx, &wire.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	r := &wire.Request{Method: http.MethodGet, Path: t.path(est.OpCACerts)}
	first, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if strings.EqualFold(first.Header.Get("Connection"), "close") {
		return nil
	}
	second, err := c.Do(ctx, r)
	if err != nil {
		return fmt.Errorf("the second request on a connection whose first answer did not close it: %w", err)
	}
	if second.Status != first.Status {
		return fmt.Errorf("%v, and at first %d", second, first.Status)
	}
	return nil
}

func runClose(ctx context.Context, t *Target) error {
	return t.endsAfter(ctx, wire.Request{Method: http.MethodGet, Path: t.path(est.OpCACerts), Close: true})
}

func runHTTP10(ctx context.Context, t *Target) error {
	return t.endsAfter(ctx, wire.Request{Method: http.MethodGet, Path: t.path(est.OpCACerts), Proto: "HTTP/1.0"})
}

// endsAfter wants an answer, and then the end of the connection.
func (t *Target) endsAfter(ctx context.Context, r wire.Request) error {
	c, err := t.Dial(ctx, &wire.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Do(ctx, &r)
	if err != nil {
		return err
	}
	if !c.Ended(ctx, 3*time.Second) {
		return fmt.Errorf("%v, and the connection is open three seconds later", a)
	}
	return nil
}

// runRetryAfter looks at an answer of a server that puts off its decisions.
func runRetryAfter(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	a, err := t.waiting(ctx)
	if err != nil {
		return err
	}
	after := a.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
		return nil
	}
	if _, err := http.ParseTime(after); err == nil {
		return nil
	}
	return fmt.Errorf("%v with Retry-After %q, want seconds or a date", a, after)
}
