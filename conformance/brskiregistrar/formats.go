package brskiregistrar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// offered skips where the registrar does not take a media type, as it may.
func offered(f voucher.Format, r run) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		x, err := t.askOnce(ctx, asking{format: f})
		if err != nil {
			return err
		}
		if x.answer.Status == http.StatusUnsupportedMediaType || x.answer.Status == http.StatusNotAcceptable {
			return skipf("%v to %s: the registrar does not take it, which it may", x.answer, f.MediaType())
		}
		return r(ctx, t)
	}
}

// otherFormats: JWS and COSE.
func otherFormats() []check {
	jws, cose := voucherjws.Format{}, vouchercose.Format{}
	inJWS := asking{format: jws}
	rewritten := func(f func(header, payload string, m map[string]any)) making {
		return just(asking{format: jws, body: func(b []byte) []byte { return forge.RewriteJWS(b, f) }})
	}
	return slices.Concat(
		in("draft-ietf-anima-jws-voucher, Section 3",
			check{
				ID: "JWSVOUCHER-3-REG-1", Level: must, Text: "the registrar's request for a pledge of JWS is in the general JSON serialization, and opens",
				Requirements: rows("BRSKI-JWS-3-02"), Run: offered(jws, seen(just(inJWS), func(_ *exchange, a *arrival) error {
					if a.err != nil {
						return a.err
					}
					var m map[string]any
					if err := json.Unmarshal(a.body, &m); err != nil || m["payload"] == nil || m["signatures"] == nil {
						return errors.New("it has no payload and signatures")
					}
					return nil
				})),
			},
			check{
				ID: "JWSVOUCHER-3-REG-2", Level: must, Text: "the forge.Compact serialization is refused",
				Requirements: rows("BRSKI-JWS-3-02"), Run: offered(jws, refused(just(asking{format: jws, body: forge.Compact}))),
			},
			check{
				ID: "JWSVOUCHER-3-REG-3", Level: must, Text: "the flattened serialization is refused",
				Requirements: rows("BRSKI-JWS-3-02"), Run: offered(jws, refused(rewritten(func(_, _ string, m map[string]any) {
					if s, ok := m["signatures"].([]any); ok && len(s) == 1 {
						if first, ok := s[0].(map[string]any); ok {
							m["protected"], m["signature"] = first["protected"], first["signature"]
						}
					}
					delete(m, "signatures")
				}))),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 3.2",
			check{
				ID: "JWSVOUCHER-3.2-REG-1", Level: must, Text: "a protected header that was changed after signing is refused",
				Requirements: rows("BRSKI-JWS-3.3-01"), Run: offered(jws, refused(rewritten(func(header, _ string, m map[string]any) {
					forge.SetHeader(m, strings.Replace(header, "{", `{ `, 1))
				}))),
			},
			check{
				ID: "JWSVOUCHER-3.2-REG-2", Level: must, Text: "the algorithm none is refused",
				Requirements: rows("BRSKI-JWS-3.3-01"), Run: offered(jws, refused(rewritten(func(header, _ string, m map[string]any) {
					forge.SetHeader(m, strings.Replace(header, `"ES256"`, `"none"`, 1))
				}))),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 4", check{
			ID: "JWSVOUCHER-4-REG-1", Level: must, Text: "a pledge of JWS gets application/voucher-jws+json",
			Requirements: rows("BRSKI-JWS-4-01"), Run: offered(jws, judged(just(inJWS), func(x *exchange) error {
				if x.answer.Status != http.StatusOK || x.answer.MediaType() != voucherjws.MediaType {
					return fmt.Errorf("%v of %q", x.answer, x.answer.MediaType())
				}
				return nil
			})),
		}),
		in("draft-ietf-anima-constrained-voucher, Section 9.2",
			check{
				ID: "CBRSKI-9.2-REG-1", Level: must, Text: "for a pledge of COSE the registrar's request is COSE with idevid-issuer",
				Requirements: rows("BRSKI-8366BIS-6.1-01"), Run: offered(cose, seen(just(asking{format: cose}), func(_ *exchange, a *arrival) error {
					switch {
					case a.err != nil:
						return a.err
					case a.artifact.MediaType != vouchercose.MediaType:
						return fmt.Errorf("it is %s", a.artifact.MediaType)
					case len(a.request.IDevIDIssuer) == 0:
						return errors.New("there is no idevid-issuer in it")
					}
					return nil
				})),
			},
			check{
				ID: "CBRSKI-9.2-REG-2", Level: must, Text: "a COSE voucher-request whose signature does not hold is refused",
				Requirements: rows("BRSKI-8995-5.3-04"), Run: offered(cose, refused(just(asking{format: cose, body: func(b []byte) []byte {
					b = slices.Clone(b)
					b[len(b)-1] ^= 0xff
					return b
				}}))),
			},
		),
	)
}
