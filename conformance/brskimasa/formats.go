package brskimasa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// offered skips where the MASA does not take a media type, as it may.
func offered(f voucher.Format, r run) run {
	return func(ctx context.Context, t *Target) error {
		if _, err := t.good(ctx); err != nil {
			return err
		}
		x, err := t.offer(ctx, f)
		if err != nil {
			return err
		}
		if x.answer.Status == http.StatusUnsupportedMediaType || x.answer.Status == http.StatusNotAcceptable {
			return skipf("%v to %s: the MASA does not take it, which it may", x.answer, f.MediaType())
		}
		return r(ctx, t)
	}
}

// offer is the first exchange in a format.
func (t *Target) offer(ctx context.Context, f voucher.Format) (*exchange, error) {
	if x := t.offers[f.MediaType()]; x != nil {
		return x, nil
	}
	x, err := t.ask(ctx, asking{format: f})
	if err != nil {
		return nil, err
	}
	if t.offers == nil {
		t.offers = make(map[string]*exchange)
	}
	t.offers[f.MediaType()] = x
	return x, nil
}

// answered judges the answer to a good request in a format.
func answered(f voucher.Format, judge func(*exchange) error) run {
	return offered(f, func(ctx context.Context, t *Target) error {
		x, err := t.offer(ctx, f)
		if err != nil {
			return err
		}
		return judge(x)
	})
}

// otherFormats: JWS and COSE.
func otherFormats() []check {
	jws, cosef := voucherjws.Format{}, vouchercose.Format{}
	rewritten := func(f func(header, payload string, m map[string]any)) making {
		return just(asking{format: jws, body: func(b []byte) []byte { return forge.RewriteJWS(b, f) }})
	}
	algorithm := func(name string) making {
		return rewritten(func(header, _ string, m map[string]any) {
			forge.SetHeader(m, strings.Replace(header, `"ES256"`, `"`+name+`"`, 1))
		})
	}
	ofJWS := func(judge func(*exchange, map[string]any) error) run {
		return answered(jws, func(x *exchange) error {
			if err := succeeded(x); err != nil {
				return err
			}
			var m map[string]any
			if err := json.Unmarshal(x.answer.Body, &m); err != nil {
				return fmt.Errorf("the voucher is no JSON: %w", err)
			}
			return judge(x, m)
		})
	}
	return slices.Concat(
		in("draft-ietf-anima-jws-voucher, Section 3",
			check{
				ID: "JWSVOUCHER-3-MASA-1", Level: must, Text: "a voucher in JWS is in the general JSON serialization",
				Requirements: rows("BRSKI-JWS-3-01"), Run: ofJWS(func(_ *exchange, m map[string]any) error {
					if list, ok := m["signatures"].([]any); !ok || len(list) == 0 || m["payload"] == nil {
						return errors.New("it has no payload and signatures")
					}
					return nil
				}),
			},
			check{
				ID: "JWSVOUCHER-3-MASA-2", Level: must, Text: "a voucher-request in the forge.Compact serialization is refused",
				Requirements: rows("BRSKI-JWS-3-01"), Run: offered(jws, refused(just(asking{format: jws, body: forge.Compact}))),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 3.1",
			check{
				ID: "JWSVOUCHER-3.1-MASA-1", Level: must, Text: "the payload of a voucher in JWS is in the container ietf-voucher:voucher",
				Requirements: rows("BRSKI-JWS-3.1-01"), Run: ofJWS(func(_ *exchange, m map[string]any) error {
					text, _ := m["payload"].(string)
					payload, err := base64.RawURLEncoding.DecodeString(text)
					var outer map[string]any
					if err != nil || json.Unmarshal(payload, &outer) != nil || len(outer) != 1 || outer[voucherContainer] == nil {
						return fmt.Errorf("the payload is %.60q", payload)
					}
					return nil
				}),
			},
			check{
				ID: "JWSVOUCHER-3.1-MASA-2", Level: must, Text: "a payload that was changed after it was signed is refused",
				Requirements: rows("BRSKI-JWS-3.1-01"), Run: offered(jws, refused(rewritten(func(_, payload string, m map[string]any) {
					raw, err := base64.RawURLEncoding.DecodeString(payload)
					if err == nil {
						m["payload"] = base64.RawURLEncoding.EncodeToString(tamper(raw))
					}
				}))),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 3.2",
			check{
				ID: "JWSVOUCHER-3.2-MASA-1", Level: must, Text: "the algorithm none is refused",
				Requirements: rows("BRSKI-JWS-3.2-01"), Run: offered(jws, refused(algorithm("none"))),
			},
			check{
				ID: "JWSVOUCHER-3.2-MASA-2", Level: must, Text: "the algorithm HS256 is refused",
				Requirements: rows("BRSKI-JWS-3.2-01"), Run: offered(jws, refused(algorithm("HS256"))),
			},
			check{
				ID: "JWSVOUCHER-3.2-MASA-3", Level: must, Text: "a voucher's certificates are in x5c, in base64, and lead to the anchor",
				Requirements: rows("BRSKI-JWS-3.2-03"), Run: func(ctx context.Context, t *Target) error {
					return ofJWS(func(x *exchange, m map[string]any) error { return certificatesOfJWS(t, x, m) })(ctx, t)
				},
			},
		),
		in("draft-ietf-anima-brski-prm, Section 7.3.1", check{
			ID: "PRM-7.3.1-MASA-1", Level: must, Text: "a request in JWS is answered in JWS",
			Requirements: rows("BRSKI-PRM-7.3.1-04"), Run: answered(jws, mediaTypeOfRequest),
		}),
		in("draft-ietf-anima-constrained-voucher, Section 7.1", check{
			ID: "CBRSKI-7.1-MASA-1", Level: must, Text: "a request in COSE is answered in COSE, over HTTPS",
			Requirements: rows("BRSKI-CBRSKI-7.1-02"), Run: answered(cosef, mediaTypeOfRequest),
		}),
		in("draft-ietf-anima-rfc8366bis, Section 8.5", check{
			ID: "RFC8366bis-8.5-MASA-1", Level: must, Text: "the assertion of a voucher in CBOR is a number of the enumeration",
			Requirements: rows("BRSKI-8366BIS-8.5-01"), Run: answered(cosef, assertionIsNumber),
		}),
		in("draft-ietf-anima-constrained-voucher, Section 9.2",
			check{
				ID: "CBRSKI-9.2-MASA-1", Level: must, Text: "the signature of a voucher in COSE holds, and its signer is below the anchor",
				Requirements: rows("BRSKI-CBRSKI-9.2-02", "BRSKI-CBRSKI-9.2.3-01"), Run: func(ctx context.Context, t *Target) error {
					return answered(cosef, func(x *exchange) error {
						switch {
						case x.answer.Status != http.StatusOK:
							return succeeded(x)
						case x.artifact == nil:
							return x.openErr
						}
						_, err := x.artifact.VerifySigner(t.Anchors, time.Now())
						return err
					})(ctx, t)
				},
			},
			check{
				ID: "CBRSKI-9.2-MASA-2", Level: must, Text: "a voucher-request in COSE whose signature does not hold is refused",
				Requirements: rows("BRSKI-CBRSKI-9.2-02"), Run: offered(cosef, refused(just(asking{format: cosef, body: func(b []byte) []byte {
					b = slices.Clone(b)
					b[len(b)-1] ^= 0xff
					return b
				}}))),
			},
		),
	)
}

func mediaTypeOfRequest(x *exchange) error {
	if err := succeeded(x); err != nil {
		return err
	}
	if got := x.answer.MediaType(); got != x.mediaType() {
		return fmt.Errorf("%v of %q, want %q", x.answer, got, x.mediaType())
	}
	return nil
}

// certificatesOfJWS reads x5c of the first signature.
func certificatesOfJWS(t *Target, x *exchange, m map[string]any) error {
	protected, _ := forge.FirstSignature(m)
	header, err := base64.RawURLEncoding.DecodeString(protected)
	var read struct {
		X5C []string `json:"x5c"`
	}
	if err != nil || json.Unmarshal(header, &read) != nil || len(read.X5C) == 0 {
		return errors.New("the protected header has no x5c")
	}
	for _, text := range read.X5C {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return fmt.Errorf("x5c: %w", err)
		}
	}
	if x.artifact == nil {
		return fmt.Errorf("the voucher does not open: %w", x.openErr)
	}
	_, err = x.artifact.VerifySigner(t.Anchors, time.Now())
	return err
}

// The SID of a voucher in CBOR, and the delta of its assertion (rfc8366bis, Section 8.5).
const (
	sidVoucher     = 2451
	deltaAssertion = 1
)

func assertionIsNumber(x *exchange) error {
	if err := succeeded(x); err != nil {
		return err
	}
	m, err := cose.Parse(x.answer.Body, len(x.answer.Body))
	if err != nil {
		return skipf("the voucher is no COSE_Sign1 (see CBRSKI-9.2-MASA-1): %v", err)
	}
	var outer map[any]map[any]any
	if err := cose.Decode(m.Payload, &outer); err != nil {
		return fmt.Errorf("the payload is no map in a map: %w", err)
	}
	for _, leaves := range outer {
		for key, value := range leaves {
			if k, ok := number(key); ok && (k == deltaAssertion || k == sidVoucher+deltaAssertion) || key == "assertion" {
				if n, ok := number(value); !ok || n > 3 {
					return fmt.Errorf("the assertion is %v", value)
				}
				return nil
			}
		}
	}
	return errors.New("there is no assertion")
}

func number(v any) (uint64, bool) {
	switch n := v.(type) {
	case uint64:
		return n, true
	case int64:
		return uint64(n), n >= 0 //nolint:gosec // looked at
	}
	return 0, false
}
