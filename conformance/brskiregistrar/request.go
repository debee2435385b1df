package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

func skipf(format string, args ...any) error { return conformance.Skip(format, args...) }

// endpoints: what a registrar serves (RFC 8995, Section 1.5).
func endpoints() []check {
	exists := func(method, path string) run {
		return func(ctx context.Context, t *Target) error {
			a, err := t.plain(ctx, wire.Request{Method: method, Path: path})
			if err != nil {
				return err
			}
			if a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusNotImplemented {
				return fmt.Errorf("%v, and an ANI registrar serves it", a)
			}
			return nil
		}
	}
	one := func(id, method, path string) check {
		return check{ID: id, Level: must, Text: method + " " + path + " is served", Requirements: rows("BRSKI-8995-1.5-01"), Run: exists(method, path)}
	}
	return slices.Concat(
		in("RFC 8995, Section 1.5",
			one("RFC8995-1.5-REG-1", http.MethodPost, pathRequestVoucher),
			one("RFC8995-1.5-REG-2", http.MethodPost, pathVoucherStatus),
			one("RFC8995-1.5-REG-3", http.MethodPost, pathEnrollStatus),
			one("RFC8995-1.5-REG-4", http.MethodGet, "/.well-known/est/cacerts"),
			one("RFC8995-1.5-REG-5", http.MethodGet, "/.well-known/est/csrattrs"),
			one("RFC8995-1.5-REG-6", http.MethodPost, "/.well-known/est/simpleenroll"),
			one("RFC8995-1.5-REG-7", http.MethodPost, "/.well-known/est/simplereenroll"),
		),
		in("RFC 8995, Section 8.3.1", check{
			ID: "RFC8995-8.3.1-REG-1", Level: must, Text: "an operation that is none is answered 404",
			Requirements: rows("BRSKI-8995-5.2-01"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.plain(ctx, wire.Request{Method: http.MethodPost, Path: brski.PathPrefix + "/requestvouchers"})
				if err == nil && a.Status != http.StatusNotFound {
					err = fmt.Errorf("%v, want 404", a)
				}
				return err
			},
		}),
	)
}

// plain sends a request as the pledge.
func (t *Target) plain(ctx context.Context, r wire.Request) (*wire.Answer, error) {
	return t.Do(ctx, &wire.Options{Certificate: t.Pledge, Untrusted: true}, &r)
}

// requests: what a pledge asks with (RFC 8995, Section 5.2).
func requests() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.2",
			check{
				ID: "RFC8995-5.2-REG-1", Level: must, Text: "a good voucher-request is answered 200 after the MASA was asked",
				Requirements: rows("BRSKI-8995-5.2-01", "BRSKI-8995-5.6-03"), Run: runGood,
			},
			check{
				ID: "RFC8995-5.2-REG-2", Level: must, Text: "GET requestvoucher is answered 405 with Allow",
				Requirements: rows("BRSKI-8995-5.2-01"), Run: runWrongMethod,
			},
			check{
				ID: "RFC8995-5.2-REG-3", Level: must, Text: "a proximity-registrar-cert that is another server's is answered 401",
				Requirements: rows("BRSKI-8995-5.2-07"), Run: func(ctx context.Context, t *Target) error {
					return refusedWith(content(notProximate(t)), http.StatusUnauthorized)(ctx, t)
				},
			},
			check{
				ID: "RFC8995-5.2-REG-4", Level: must, Text: "after that 401 the registrar closes the connection",
				Requirements: rows("BRSKI-8995-5.2-07"), Run: runCloses,
			},
			check{
				ID: "RFC8995-5.2-REG-5", Level: must, Text: "an assertion other than proximity is answered 401",
				Requirements: rows("BRSKI-8995-5.2-07"),
				Run:          refusedWith(content(func(r *voucher.Request) { r.Assertion = voucher.Logged }), http.StatusUnauthorized),
			},
			check{
				ID: "RFC8995-5.2-REG-6", Level: must, Text: "a voucher-request without proximity-registrar-cert is refused",
				Requirements: rows("BRSKI-8995-5.2-07"), Run: refused(content(func(r *voucher.Request) { r.ProximityRegistrarCert = nil })),
			},
			check{
				ID: "RFC8995-5.2-REG-7", Level: must, Text: "a voucher-request without an assertion is refused",
				Requirements: rows("BRSKI-8995-5.2-07"), Run: refused(content(func(r *voucher.Request) { r.Assertion = "" })),
			},
			check{
				ID: "RFC8995-5.2-REG-8", Level: should, Text: "a media type that is no voucher-request's is answered 415",
				Requirements: rows("BRSKI-8995-5.2-03"), Run: refusedWith(edited(field("Content-Type", "application/voucher-foo")), http.StatusUnsupportedMediaType),
			},
			check{
				ID: "RFC8995-5.2-REG-9", Level: should, Text: "the connection stays usable after a media type that is refused",
				Requirements: rows("BRSKI-8995-5.2-03"), Run: runUsable(edited(field("Content-Type", "application/voucher-foo"))),
			},
			check{
				ID: "RFC8995-5.2-REG-10", Level: must, Text: "a voucher-request that another key than the TLS client's signed is refused",
				Requirements: rows("BRSKI-8995-5.3-04"), Run: refused(func(t *Target) (asking, error) {
					other, err := t.stranger()
					return asking{signer: other}, err
				}),
			},
			check{
				ID: "RFC8995-5.2-REG-11", Level: must, Text: "an empty body is answered 4xx, and the next connection is served (nqminds' pledges begin so)",
				Requirements: rows("BRSKI-8995-5.6-03"), Run: runEmptyFirst,
			},
		),
		in("RFC 8995, Section 5.3",
			check{
				ID: "RFC8995-5.3-REG-1", Level: should, Text: "a device of an unknown manufacturer is answered 403 or 404",
				Requirements: rows("BRSKI-8995-5.3-01", "BRSKI-8995-5.3-03"), Run: refusedWith(with((*Target).stranger), http.StatusForbidden, http.StatusNotFound),
			},
			check{
				ID: "RFC8995-5.3-REG-2", Level: should, Text: "signed content that is no voucher-request is answered 406",
				Requirements: rows("BRSKI-8995-5.3-02"), Run: refusedWith(payload(`{"example:other":{}}`), http.StatusNotAcceptable),
			},
			check{
				ID: "RFC8995-5.3-REG-3", Level: must, Text: "signed content that is no JSON is refused",
				Requirements: rows("BRSKI-8995-5.6-03"), Run: refused(payload("{")),
			},
		),
		in("RFC 8995, Section 3.4",
			check{
				ID: "RFC8995-3.4-REG-1", Level: must, Text: "domain-cert-revocation-checks in a pledge's request is passed over",
				Requirements: rows("BRSKI-8995-3.4-01"), Run: read(content(func(r *voucher.Request) {
					yes := true
					r.DomainCertRevocationChecks = &yes
				}), func(_ *exchange, a *arrival) error {
					if a.request.DomainCertRevocationChecks != nil {
						return fmt.Errorf("the registrar's request repeats it")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-3.4-REG-2", Level: must, Text: "pinned-domain-cert in a pledge's request does not reach the MASA",
				Requirements: rows("BRSKI-8995-3.4-01"), Run: read(content(func(r *voucher.Request) { r.PinnedDomainCert = r.ProximityRegistrarCert }),
					func(_ *exchange, a *arrival) error {
						if len(a.request.PinnedDomainCert) > 0 {
							return fmt.Errorf("the registrar's request repeats it")
						}
						return nil
					}),
			},
		),
	)
}

func runGood(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return fmt.Errorf("%w", withoutSkip(err))
	}
	return nil
}

// withoutSkip is what others skip for, as a failure.
func withoutSkip(err error) error {
	return fmt.Errorf("%s", strings.TrimSuffix(err.Error(), " (see RFC8995-5.2-REG-1)"))
}

func runWrongMethod(ctx context.Context, t *Target) error {
	a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathRequestVoucher})
	switch {
	case err != nil:
		return err
	case a.Status != http.StatusMethodNotAllowed:
		return fmt.Errorf("%v, want 405", a)
	case !strings.Contains(a.Header.Get("Allow"), http.MethodPost):
		return fmt.Errorf("%v with Allow: %q, want POST in it", a, a.Header.Get("Allow"))
	}
	return nil
}

// notProximate names another certificate than the server's.
func notProximate(t *Target) func(*voucher.Request) {
	return func(r *voucher.Request) { r.ProximityRegistrarCert = t.Pledge.Certificate[0] }
}

func runCloses(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	_, err := t.ask(ctx, asking{content: notProximate(t), again: func(ctx context.Context, c *wire.Conn, x *exchange) error {
		if !x.answer.Refused() {
			return skipf("%v: it was not refused (see RFC8995-5.2-REG-3)", x.answer)
		}
		if !c.Ended(ctx, 3*time.Second) {
			return fmt.Errorf("%v, and the connection is open three seconds later", x.answer)
		}
		return nil
	}})
	return err
}

// runUsable wants a good request to succeed on the connection of a bad one.
func runUsable(bad making) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		a, err := bad(t)
		if err != nil {
			return err
		}
		a.again = func(ctx context.Context, c *wire.Conn, x *exchange) error {
			good := *x
			good.edit, good.body, good.content = nil, nil, nil
			if err := good.sign(ctx); err != nil {
				return err
			}
			r := good.posted()
			answer, err := c.Do(ctx, &r)
			if err == nil && answer.Status != http.StatusOK && answer.Status != http.StatusAccepted {
				err = fmt.Errorf("%v to a good request on the same connection", answer)
			}
			return err
		}
		_, err = t.ask(ctx, a)
		return err
	}
}

func runEmptyFirst(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	empty := func([]byte) []byte { return nil }
	if err := refused(body(empty))(ctx, t); err != nil {
		return err
	}
	return taken(asking{})(ctx, t)
}

// payload signs other content.
func payload(text string) making {
	return func(t *Target) (asking, error) {
		raw, err := signPayload([]byte(text), t.Pledge)
		return asking{body: func([]byte) []byte { return raw }}, err
	}
}

// encodings: bytes that are no voucher-request.
func encodings() []check {
	refuses := func(id, text string, level conformance.Level, row string, f func([]byte) []byte) check {
		return check{ID: id, Level: level, Text: text, Requirements: rows(row), Run: refused(body(f))}
	}
	return slices.Concat(
		in("RFC 8366, Section 5.4",
			refuses("RFC8366-5.4-REG-1", "a voucher-request whose signature does not hold is refused", must, "BRSKI-8995-5.3-04", func(b []byte) []byte {
				b = slices.Clone(b)
				b[len(b)-1] ^= 0xff
				return b
			}),
			refuses("RFC8366-5.4-REG-2", "a truncated voucher-request is refused", must, "BRSKI-8995-5.6-03", func(b []byte) []byte { return b[:len(b)-9] }),
			refuses("RFC8366-5.4-REG-3", "a voucher-request with bytes after it is refused", should, "BRSKI-8995-5.6-03", func(b []byte) []byte {
				return append(slices.Clone(b), 0, 0)
			}),
			refuses("RFC8366-5.4-REG-4", "a body of 2 MiB is refused", should, "BRSKI-8995-5.6-03", func(b []byte) []byte {
				return append(slices.Clone(b), make([]byte, 2<<20)...)
			}),
			refuses("RFC8366-5.4-REG-5", "JSON without a signature is refused", must, "BRSKI-8995-5.3-04", func([]byte) []byte {
				return []byte(`{"ietf-voucher-request:voucher":{"assertion":"proximity","serial-number":"1"}}`)
			}),
			check{
				ID: "RFC8366-5.4-REG-6", Level: must, Text: "a certificate in place of a voucher-request is refused (nqminds sends one to simpleenroll)",
				Requirements: rows("BRSKI-8995-5.6-03"), Run: refused(func(t *Target) (asking, error) {
					return asking{body: func([]byte) []byte { return t.Pledge.Certificate[0] }}, nil
				}),
			},
			check{
				ID: "RFC8366-5.4-REG-7", Level: must, Text: "a voucher-request in SignedData of version 1 is taken",
				Requirements: rows("BRSKI-8366-5.4-02", "BRSKI-8366BIS-7.1-05"), Run: taken(asking{body: version1}),
			},
		),
		in("RFC 8366, Section 5.3",
			nonces("RFC8366-5.3-REG-1", "a nonce of 7 bytes does not reach the MASA", "BRSKI-8366BIS-8.4-02", 7),
			nonces("RFC8366-5.3-REG-2", "a nonce of 33 bytes does not reach the MASA", "BRSKI-8366BIS-8.4-02", 33),
			check{
				ID: "RFC8366-5.3-REG-3", Level: must, Text: "nonces of 8 and of 32 bytes are taken",
				Requirements: rows("BRSKI-8366BIS-8.4-02"), Run: taken(asking{content: nonce(8)}, asking{content: nonce(32)}),
			},
		),
		in("RFC 8995, Section 6",
			check{
				ID: "RFC8995-6-REG-1", Level: must, Text: "the voucher comes in binary",
				Requirements: rows("BRSKI-8995-6-01"), Run: judged(just(asking{}), func(x *exchange) error {
					if _, err := base64.StdEncoding.DecodeString(string(x.answer.Body)); x.answer.OK() && err == nil && len(x.answer.Body) > 0 {
						return fmt.Errorf("%v with base64 in its body", x.answer)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-6-REG-2", Level: must, Text: "the registrar's voucher-request comes in binary",
				Requirements: rows("BRSKI-8995-6-01"), Run: first(func(_ *exchange, a *arrival) error {
					if !bytes.HasPrefix(a.body, []byte{0x30}) {
						return fmt.Errorf("the MASA got %q..., want DER", a.body[:min(len(a.body), 12)])
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-6-REG-3", Level: should, Text: "Content-Transfer-Encoding is passed over",
				Requirements: rows("BRSKI-8995-6-03"), Run: taken(asking{edit: field("Content-Transfer-Encoding", "base64")}),
			},
		),
	)
}

// nonce is one of n random-looking bytes in base64.
func nonce(n int) func(*voucher.Request) {
	return func(r *voucher.Request) {
		fresh, err := base64.StdEncoding.DecodeString(voucher.NewNonce())
		if err == nil {
			r.Nonce = base64.StdEncoding.EncodeToString(bytes.Repeat(fresh, 3)[:n])
		}
	}
}

func nonces(id, text, row string, n int) check {
	return check{ID: id, Level: must, Text: text, Requirements: rows(row), Run: refused(content(nonce(n)))}
}

// version1 makes the outermost version 1, which no signature covers (RFC 5652, Section 5.1).
func version1(der []byte) []byte {
	der = slices.Clone(der)
	if at := bytes.Index(der, []byte{2, 1, 3}); at >= 0 && at < 40 {
		der[at+2] = 1
	}
	return der
}

// identities: devices that are not what they say.
func identities() []check {
	refuses := func(id, text, row string, device func(*Target) (*tls.Certificate, error)) check {
		return check{ID: id, Level: must, Text: text, Requirements: rows(row), Run: refused(with(device))}
	}
	return slices.Concat(
		in("RFC 8995, Section 5.1",
			check{
				ID: "RFC8995-5.1-REG-1", Level: must, Text: "a client without a certificate gets no voucher",
				Requirements: rows("BRSKI-8995-5.1-07", "BRSKI-8995-7.3-03"), Run: refused(just(asking{nobody: true})),
			},
			refuses("RFC8995-5.1-REG-2", "a device that signs its own certificate gets no voucher", "BRSKI-8995-7.3-01", (*Target).stranger),
			refuses("RFC8995-5.1-REG-3", "a device of a CA that only bears the manufacturer's name gets no voucher", "BRSKI-8995-5.1-07", (*Target).impostor),
			refuses("RFC8995-5.1-REG-4", "a device that another device's certificate issued gets no voucher", "BRSKI-8995-5.1-07", func(t *Target) (*tls.Certificate, error) {
				made, err := issue(t.device(), leafOf(t.Pledge), t.Pledge.PrivateKey)
				if err == nil {
					made.Certificate = append(made.Certificate, t.Pledge.Certificate...)
				}
				return made, err
			}),
		),
		in("RFC 8995, Section 2.3.1",
			refuses("RFC8995-2.3.1-REG-1", "an IDevID without a serialNumber in its subject is refused", "BRSKI-8995-5-06", func(t *Target) (*tls.Certificate, error) {
				return t.made(named(t.device(), pkix.Name{CommonName: "no serial number"}))
			}),
			check{
				ID: "RFC8995-2.3.1-REG-2", Level: must, Text: "the registrar's serial-number is that of the IDevID's subject",
				Requirements: rows("BRSKI-8995-2.3.1-03"), Run: read(just(asking{}), func(x *exchange, a *arrival) error {
					if want, err := voucher.SerialNumber(leafOf(x.pledge)); err == nil && a.request.SerialNumber != want {
						return fmt.Errorf("the registrar's request is for %q, and the IDevID is of %q", a.request.SerialNumber, want)
					}
					return nil
				}),
			},
		),
	)
}

// accepting sends another Accept header.
func accepting(value string) asking { return asking{edit: field("Accept", value)} }

// semantics: HTTP.
func semantics() []check {
	return slices.Concat(
		in("RFC 9110, Section 12.5.1",
			check{
				ID: "RFC9110-12.5.1-REG-1", Level: should, Text: "a pledge that takes no voucher's media type is answered 406",
				Requirements: rows("BRSKI-8995-5.3-02"), Run: refusedWith(just(accepting("text/html")), http.StatusNotAcceptable),
			},
			check{
				ID: "RFC9110-12.5.1-REG-2", Level: must, Text: "a pledge that sends no Accept gets its voucher",
				Requirements: rows("BRSKI-8995-5.2-01"), Run: taken(accepting("")),
			},
			check{
				ID: "RFC9110-12.5.1-REG-3", Level: must, Text: "a pledge that takes anything gets its voucher",
				Requirements: rows("BRSKI-8995-5.2-01"), Run: taken(accepting("*/*"), accepting("*/*, "+vouchercms.MediaType)),
			},
		),
		in("RFC 9110, Section 8.3.1",
			check{
				ID: "RFC9110-8.3.1-REG-1", Level: must, Text: "the case and the parameters of the media type do not matter",
				Requirements: rows("BRSKI-8995-5.2-01"),
				Run:          taken(asking{edit: field("Content-Type", "Application/Voucher-CMS+json")}, asking{edit: field("Content-Type", vouchercms.MediaType+"; charset=utf-8")}),
			},
		),
		in("RFC 9112, Section 7.1",
			check{
				ID: "RFC9112-7.1-REG-1", Level: must, Text: "a voucher-request in chunks is taken",
				Requirements: rows("BRSKI-8995-5.2-01"), Run: taken(asking{edit: func(r *wire.Request) { r.Chunks = 100 }}),
			},
		),
	)
}
