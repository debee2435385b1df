package brskimasa

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
)

// transport: the registrar's connection.
func transport() []check {
	version := func(id string, level conformance.Level, v uint16) check {
		return check{
			ID: id, Level: level, Text: "a registrar that speaks " + tls.VersionName(v) + " alone gets its voucher",
			Requirements: rows("BRSKI-8995-5.1-03"), Run: taken(asking{options: wire.Options{Min: v, Max: v}}),
		}
	}
	return slices.Concat(
		in("RFC 8446, Section 4.2.1",
			version("RFC8446-4.2.1-MASA-1", should, tls.VersionTLS13),
			version("RFC8446-4.2.1-MASA-2", may, tls.VersionTLS12),
			check{
				ID: "RFC8446-4.2.1-MASA-3", Level: should, Text: "TLS 1.1 is not agreed on",
				Requirements: rows("BRSKI-8995-5.1-03"), Run: runNoOldTLS,
			},
		),
		in("RFC 8366, Section 7.4", check{
			ID: "RFC8366-7.4-MASA-1", Level: should, Text: "a voucher is not handed out without TLS",
			Requirements: rows("BRSKI-8366-7.4-01"), Run: runNoPlaintext,
		}),
		in("RFC 8995, Section 9.1.1", check{
			ID: "RFC8995-9.1.1-MASA-1", Level: must, Text: "the MASA URL of the device's IDevID leads to a MASA that signs its vouchers",
			Requirements: rows("BRSKI-8995-9.1.1-01"), Run: runWhereTheIDevIDLeads,
		}),
	)
}

func runNoOldTLS(ctx context.Context, t *Target) error {
	a, err := t.Hello(ctx, &wire.Hello{
		Version: tls.VersionTLS11, Suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
	})
	if err == nil && a.Agreed {
		err = fmt.Errorf("a ClientHello of TLS 1.1 is answered with a ServerHello of %s", tls.VersionName(a.Version))
	}
	return err
}

func runNoPlaintext(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	x, err := t.prepare(ctx, asking{})
	if err != nil {
		return err
	}
	mediaType := x.formatOf().MediaType()
	a, err := t.Plaintext(ctx, &wire.Request{
		Method: http.MethodPost, Path: t.pathOf(brski.OpRequestVoucher), Body: x.sent, Header: [][2]string{{"Content-Type", mediaType}, {"Accept", mediaType}},
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // it does not speak so
		return t.alive(ctx, err)
	case a.OK():
		return fmt.Errorf("%v without TLS", a)
	}
	return nil
}

// runWhereTheIDevIDLeads asks at the URL that registrars find in the IDevID.
func runWhereTheIDevIDLeads(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	base, err := voucher.MASAURL(leafOf(t.Pledge))
	if errors.Is(err, voucher.ErrNoMASAURL) {
		return skipf("the IDevID names no MASA (RFC 8995, Section 2.3.2): registrars have to be told")
	}
	if err != nil {
		return err
	}
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	there := &Target{Site: wire.Site{URL: u.Scheme + "://" + u.Host, Roots: t.Roots, MaxBody: t.MaxBody}, Path: u.EscapedPath(), Registrar: t.Registrar, Pledge: t.Pledge}
	x, err := there.ask(ctx, asking{})
	switch {
	case err != nil:
		return fmt.Errorf("%s, which the IDevID names: %w", base, err)
	case x.answer.Status != http.StatusOK:
		return fmt.Errorf("%v at %s, which the IDevID names", x.answer, base)
	}
	return nil
}

// clients: who connects (RFC 8995, Section 5.4).
func clients() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.4",
			check{
				ID: "RFC8995-5.4-MASA-1", Level: should, Text: "the MASA asks for a TLS client certificate, and takes the registrar's",
				Requirements: rows("BRSKI-8995-5.4-04", "BRSKI-8995-5.4.1-01"), Run: runAsksForCertificate,
			},
			check{
				ID: "RFC8995-5.4-MASA-2", Level: should, Text: "a registrar without a TLS client certificate gets its voucher, or is told so with 401 or 403",
				Requirements: rows("BRSKI-8995-5.4-04"), Run: judged(just(asking{nobody: true}), func(x *exchange) error {
					if !slices.Contains([]int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden}, x.answer.Status) {
						return fmt.Errorf("%v, want 200, 401 or 403", x.answer)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.4-MASA-3", Level: must, Text: "who shows a stranger's TLS client certificate is not served a voucher for the stranger's domain",
				Requirements: rows("BRSKI-8995-5.5.2-01", "BRSKI-8995-5.5-12"), Run: runOtherClient,
			},
		),
		in("RFC 8995, Section 5.4.1", check{
			ID: "RFC8995-5.4.1-MASA-1", Level: should, Text: "no cookie is set: registrars are known by their certificates",
			Requirements: rows("BRSKI-8995-5.4.1-02"), Run: first(func(x *exchange) error {
				if cookie := x.answer.Header.Get("Set-Cookie"); cookie != "" {
					return fmt.Errorf("%v with a cookie", x.answer)
				}
				return nil
			}),
		}),
	)
}

func runAsksForCertificate(ctx context.Context, t *Target) error {
	asked := false
	return judged(just(asking{options: wire.Options{Asked: func(*tls.CertificateRequestInfo) { asked = true }}}), func(x *exchange) error {
		if !asked {
			return fmt.Errorf("%v, and the handshake asked for no client certificate", x.answer)
		}
		return succeeded(x)
	})(ctx, t)
}

// runOtherClient shows a certificate of a domain that is none of the request's.
func runOtherClient(ctx context.Context, t *Target) error {
	return judged(func(context.Context, *Target) (asking, error) {
		d, err := newDomain("passers-by", nil)
		if err != nil {
			return asking{}, err
		}
		return asking{shows: d.registrar}, nil
	}, func(x *exchange) error {
		switch {
		case x.answer.Refused() || x.answer.Status == http.StatusServiceUnavailable:
			return nil
		case x.answer.Status != http.StatusOK:
			return fmt.Errorf("%v, want 200 or 4xx", x.answer)
		case x.voucher == nil:
			return skipf("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
		}
		for _, der := range x.shows.Certificate {
			if pins(x.voucher, parse(der)) {
				return errors.New("the voucher pins the domain of the TLS client, who signed nothing")
			}
		}
		return nil
	})(ctx, t)
}

// semantics: HTTP.
func semantics() []check {
	accepting := func(value string) asking { return asking{edit: field("Accept", value)} }
	cmsType := asking{}.mediaType()
	return slices.Concat(
		in("RFC 9110, Section 9.1", methods()...),
		in("RFC 8995, Section 8.3.1",
			check{
				ID: "RFC8995-8.3.1-MASA-1", Level: must, Text: "an operation that is none is answered 404",
				Requirements: rows("BRSKI-8995-5.6-02"), Run: runNoOperation("requestvouchers"),
			},
			check{
				ID: "RFC8995-8.3.1-MASA-2", Level: should, Text: "the operations of a registrar's pledges are not a MASA's: voucher_status is answered 404",
				Requirements: rows("BRSKI-8995-5.6-02"), Run: runNoOperation("voucher_status"),
			},
		),
		in("RFC 9110, Section 12.5.1",
			check{
				ID: "RFC9110-12.5.1-MASA-1", Level: should, Text: "a registrar that takes no voucher's media type is answered 406",
				Requirements: rows("BRSKI-8995-5.6-10"), Run: refused(just(accepting("text/html")), http.StatusNotAcceptable),
			},
			check{
				ID: "RFC9110-12.5.1-MASA-2", Level: must, Text: "a registrar that sends no Accept gets its voucher",
				Requirements: rows("BRSKI-8995-5.6-02"), Run: taken(accepting("")),
			},
			check{
				ID: "RFC9110-12.5.1-MASA-3", Level: must, Text: "a registrar that takes anything gets its voucher",
				Requirements: rows("BRSKI-8995-5.6-02"), Run: taken(accepting("*/*"), accepting("text/html;q=0.1, "+cmsType)),
			},
			check{
				ID: "RFC9110-12.5.1-MASA-4", Level: must, Text: "no voucher comes in a media type that the registrar excludes",
				Requirements: rows("BRSKI-8995-5.6-10"), Run: judged(just(accepting(cmsType+";q=0, */*;q=0.5")), func(x *exchange) error {
					if x.answer.Status == http.StatusOK && x.answer.MediaType() == cmsType {
						return fmt.Errorf("%v in %s, which Accept excludes", x.answer, cmsType)
					}
					return nil
				}),
			},
		),
		in("RFC 9110, Section 8.3.1", check{
			ID: "RFC9110-8.3.1-MASA-1", Level: must, Text: "the case and the parameters of the media type do not matter",
			Requirements: rows("BRSKI-8995-5.6-02"),
			Run:          taken(asking{edit: field("Content-Type", "Application/Voucher-CMS+json")}, asking{edit: field("Content-Type", cmsType+"; charset=utf-8")}),
		}),
		in("RFC 9110, Section 8.4.1", check{
			ID: "RFC9110-8.4.1-MASA-1", Level: should, Text: "a coding that the body is said to have and that is unknown is answered 415",
			Requirements: rows("BRSKI-8995-5.6-10"), Run: refused(edited(field("Content-Encoding", "x-conformance")), http.StatusUnsupportedMediaType),
		}),
		in("RFC 9112, Section 7.1", check{
			ID: "RFC9112-7.1-MASA-1", Level: must, Text: "a voucher-request in chunks is taken",
			Requirements: rows("BRSKI-8995-5.6-02"), Run: taken(asking{edit: func(r *wire.Request) { r.Chunks = 100 }}),
		}),
		in("RFC 9112, Section 9.3", check{
			ID: "RFC9112-9.3-MASA-1", Level: should, Text: "one connection carries requestvoucher and requestauditlog",
			Requirements: rows("BRSKI-8995-9.1.1-03"), Run: runOneConnection,
		}),
	)
}

func (a asking) mediaType() string { return a.formatOf().MediaType() }

func methods() []check {
	refuses := func(id, method string, level conformance.Level, op brski.Operation) check {
		return check{
			ID: id, Level: level, Text: fmt.Sprintf("%s %s is answered 405 with Allow", method, op),
			Requirements: rows("BRSKI-8995-5.6-02"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.plain(ctx, wire.Request{Method: method, Path: t.pathOf(op)})
				switch {
				case err != nil:
					return err
				case a.Status != http.StatusMethodNotAllowed:
					return fmt.Errorf("%v, want 405", a)
				case !strings.Contains(a.Header.Get("Allow"), http.MethodPost):
					return fmt.Errorf("%v with Allow: %q, want POST in it", a, a.Header.Get("Allow"))
				}
				return nil
			},
		}
	}
	return []check{
		refuses("RFC9110-9.1-MASA-1", http.MethodGet, must, brski.OpRequestVoucher),
		refuses("RFC9110-9.1-MASA-2", http.MethodPut, should, brski.OpRequestVoucher),
		refuses("RFC9110-9.1-MASA-3", http.MethodHead, should, brski.OpRequestVoucher),
		refuses("RFC9110-9.1-MASA-4", http.MethodGet, must, brski.OpRequestAuditLog),
	}
}

// plain sends a request as the registrar.
func (t *Target) plain(ctx context.Context, r wire.Request) (*wire.Answer, error) {
	return t.Do(ctx, &wire.Options{Certificate: t.Registrar}, &r)
}

func runNoOperation(name string) run {
	return func(ctx context.Context, t *Target) error {
		a, err := t.plain(ctx, wire.Request{
			Method: http.MethodPost, Path: t.pathOf(brski.Operation(name)), Body: []byte("{}"), Header: [][2]string{{"Content-Type", "application/json"}},
		})
		if err == nil && a.Status != http.StatusNotFound {
			err = fmt.Errorf("%v, want 404", a)
		}
		return err
	}
}

func runOneConnection(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	x, err := t.prepare(ctx, asking{})
	if err != nil {
		return err
	}
	c, err := t.Dial(ctx, x.connection())
	if err != nil {
		return err
	}
	defer c.Close()
	for _, op := range []brski.Operation{brski.OpRequestVoucher, brski.OpRequestAuditLog} {
		x.operation = op
		if err := x.do(ctx, t, c); err != nil {
			return err
		}
		if !x.answer.OK() {
			return skipf("%v: see the checks of it", x.answer)
		}
	}
	x.leave(ctx)
	return nil
}

// binary: what is sent and what comes is DER (RFC 8995, Section 6).
func binary(x *exchange) error {
	if !bytes.HasPrefix(x.answer.Body, []byte{0x30}) {
		return fmt.Errorf("the body begins with %q, want DER", x.answer.Body[:min(len(x.answer.Body), 12)])
	}
	return nil
}
