package brskimasa

import (
	"context"
	"encoding/base64"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/voucher"
)

// requests: what a registrar asks with (RFC 8995, Sections 5.5 and 3.4).
func requests() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.5",
			check{
				ID: "RFC8995-5.5-MASA-1", Level: should, Text: "a media type that is no voucher-request's is answered 415",
				Requirements: rows("BRSKI-8995-5.5-02", "BRSKI-8995-5.6-10"), Run: refused(edited(field("Content-Type", "application/voucher-foo")), http.StatusUnsupportedMediaType),
			},
			check{
				ID: "RFC8995-5.5-MASA-2", Level: should, Text: "a voucher-request without a media type is answered 415",
				Requirements: rows("BRSKI-8995-5.5-02"), Run: refused(edited(field("Content-Type", "")), http.StatusUnsupportedMediaType),
			},
			check{
				ID: "RFC8995-5.5-MASA-3", Level: must, Text: "signed content that is no voucher-request is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(payload(`{"example:other":{}}`)),
			},
			check{
				ID: "RFC8995-5.5-MASA-4", Level: must, Text: "a voucher in place of a voucher-request is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(func(ctx context.Context, t *Target) (asking, error) {
					x, err := t.good(ctx)
					if err != nil {
						return asking{}, err
					}
					return asking{body: func([]byte) []byte { return x.answer.Body }}, nil
				}),
			},
			check{
				ID: "RFC8995-5.5-MASA-5", Level: must, Text: "a voucher-request without serial-number is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(without("serial-number")),
			},
			check{
				ID: "RFC8995-5.5-MASA-6", Level: must, Text: "a created-on that is no date is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(just(asking{leaves: func(m map[string]any) { m["created-on"] = "yesterday" }})),
			},
			check{
				ID: "RFC8995-5.5-MASA-7", Level: must, Text: "an idevid-issuer of another CA than the one that issued the IDevID is refused",
				Requirements: rows("BRSKI-8995-5.5-12", "BRSKI-8366BIS-6.2-04"), Run: refused(content(otherIssuer)),
			},
		),
		in("RFC 8995, Section 3.4",
			check{
				ID: "RFC8995-3.4-MASA-1", Level: must, Text: "pinned-domain-cert in a registrar's request does not decide what is pinned",
				Requirements: rows("BRSKI-8995-3.4-02"), Run: runPinIgnored,
			},
			check{
				ID: "RFC8995-3.4-MASA-2", Level: must, Text: "domain-cert-revocation-checks in a registrar's request is passed over",
				Requirements: rows("BRSKI-8995-3.4-02"), Run: opened(content(func(r *voucher.Request) {
					yes := true
					r.DomainCertRevocationChecks = &yes
				}), func(x *exchange) error {
					if said := x.voucher.DomainCertRevocationChecks; said != nil && *said {
						return fmt.Errorf("the voucher repeats what the registrar asked for")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-3.4-MASA-3", Level: must, Text: "last-renewal-date in a registrar's request is passed over",
				Requirements: rows("BRSKI-8995-3.4-02"), Run: opened(just(asking{leaves: func(m map[string]any) { m["last-renewal-date"] = "2099-01-01T00:00:00Z" }}), func(x *exchange) error {
					if x.voucher.LastRenewalDate.Year() == 2099 {
						return fmt.Errorf("the voucher repeats what the registrar asked for")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-3.4-MASA-4", Level: should, Text: "that a stranger's request says verified is not believed",
				Requirements: rows("BRSKI-8995-3.4-03", "BRSKI-8366BIS-8.4-06"), Run: opened(func(ctx context.Context, t *Target) (asking, error) {
					d, err := t.strangers(ctx)
					if err != nil {
						return asking{}, err
					}
					return asking{registrar: d.registrar, content: func(r *voucher.Request) { r.Assertion = voucher.Verified }}, nil
				}, func(x *exchange) error {
					if x.voucher.Assertion == voucher.Verified {
						return fmt.Errorf("the voucher says verified to a domain that nobody knows")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-3.4-MASA-5", Level: should, Text: "the voucher does not carry the pledge's request",
				Requirements: rows("BRSKI-8995-3.4-04"), Run: looked(func(x *exchange) error {
					if leaf, ok := x.leaf("prior-signed-voucher-request"); ok {
						return fmt.Errorf("the voucher has prior-signed-voucher-request of %d characters", len(fmt.Sprint(leaf)))
					}
					return nil
				}),
			},
		),
	)
}

// without leaves out a leaf.
func without(leaf string) making {
	return just(asking{leaves: func(m map[string]any) { delete(m, leaf) }})
}

// payload signs other content as the registrar.
func payload(text string) making {
	return func(_ context.Context, t *Target) (asking, error) {
		raw, err := signPayload([]byte(text), forge.Signer(t.Registrar))
		return asking{body: func([]byte) []byte { return raw }}, err
	}
}

// otherIssuer names a key identifier that no CA has.
func otherIssuer(r *voucher.Request) {
	r.IDevIDIssuer = slices.Clone(r.IDevIDIssuer)
	if n := len(r.IDevIDIssuer); n > 0 {
		for i := max(n-8, 0); i < n; i++ {
			r.IDevIDIssuer[i] ^= 0x5a
		}
	}
}

func runPinIgnored(ctx context.Context, t *Target) error {
	return opened(func(context.Context, *Target) (asking, error) {
		d, err := newDomain("pinned by nobody", nil)
		if err != nil {
			return asking{}, err
		}
		return asking{content: func(r *voucher.Request) { r.PinnedDomainCert = d.ca.Certificate[0] }}, nil
	}, func(x *exchange) error {
		if pins(x.voucher, parse(x.request.PinnedDomainCert)) {
			return fmt.Errorf("the voucher pins what the request named, which is none of the registrar's chain")
		}
		return nil
	})(ctx, t)
}

// encodings: bytes that are no voucher-request.
func encodings() []check {
	refuses := func(id, text string, level conformance.Level, f func([]byte) []byte) check {
		return check{ID: id, Level: level, Text: text, Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(body(f))}
	}
	return slices.Concat(
		in("RFC 8366, Section 5.4",
			refuses("RFC8366-5.4-MASA-3", "a truncated voucher-request is refused", must, func(b []byte) []byte { return b[:len(b)-9] }),
			refuses("RFC8366-5.4-MASA-4", "a voucher-request with bytes after it is refused", should, func(b []byte) []byte {
				return append(slices.Clone(b), 0, 0)
			}),
			refuses("RFC8366-5.4-MASA-5", "a body of 4 MiB is refused", should, func(b []byte) []byte {
				return append(slices.Clone(b), make([]byte, 4<<20)...)
			}),
			refuses("RFC8366-5.4-MASA-6", "an empty body is refused", must, func([]byte) []byte { return nil }),
			refuses("RFC8366-5.4-MASA-7", "JSON without a signature is refused", must, func([]byte) []byte {
				return []byte(`{"ietf-voucher-request:voucher":{"assertion":"proximity","serial-number":"1"}}`)
			}),
			check{
				ID: "RFC8366-5.4-MASA-8", Level: must, Text: "a certificate in place of a voucher-request is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(func(_ context.Context, t *Target) (asking, error) {
					return asking{body: func([]byte) []byte { return t.Registrar.Certificate[0] }}, nil
				}),
			},
			check{
				ID: "RFC8366-5.4-MASA-9", Level: must, Text: "signed content that is no JSON is refused",
				Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(payload("{")),
			},
		),
		in("RFC 8995, Section 6",
			refusesBase64(),
			check{
				ID: "RFC8995-6-MASA-2", Level: must, Text: "the voucher comes in binary",
				Requirements: rows("BRSKI-8995-6-02"), Run: first(binary),
			},
		),
	)
}

func refusesBase64() check {
	return check{
		ID: "RFC8995-6-MASA-1", Level: must, Text: "a voucher-request in base64 is refused",
		Requirements: rows("BRSKI-8995-6-02"), Run: refused(body(func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) })),
	}
}
