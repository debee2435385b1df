package brskimasa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// leaf is one of a CMS voucher's as it stands in its JSON, whether or not it opens.
func (x *exchange) leaf(name string) (any, bool) {
	var outer map[string]map[string]any
	sd, err := cms.ParseSignedData(x.answer.Body)
	if err != nil || json.Unmarshal(sd.Content, &outer) != nil {
		return nil, false
	}
	value, ok := outer[voucherContainer][name]
	return value, ok
}

func parse(der []byte) *x509.Certificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return new(x509.Certificate)
	}
	return c
}

// pins tells whether the voucher pins the certificate, by any of its leaves
// (rfc8366bis, Section 8.4).
func pins(v *voucher.Voucher, c *x509.Certificate) bool {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return len(c.Raw) > 0 && (bytes.Equal(v.PinnedDomainCert, c.Raw) || bytes.Equal(v.PinnedDomainPubk, c.RawSubjectPublicKeyInfo) ||
		bytes.Equal(v.PinnedDomainPubkSHA256, sum[:]))
}

// pinned is the certificate of the registrar's chain that is pinned.
func (x *exchange) pinned() (*x509.Certificate, error) {
	for _, der := range x.registrar.Certificate {
		if c := parse(der); pins(x.voucher, c) {
			return c, nil
		}
	}
	return nil, errors.New("what the voucher pins is none of the registrar's chain")
}

func pinOfTheChain(x *exchange) error {
	_, err := x.pinned()
	return err
}

// answers: status and form (RFC 8995, Section 5.6).
func answers() []check {
	return in("RFC 8995, Section 5.6",
		check{
			ID: "RFC8995-5.6-MASA-1", Level: must, Text: "a good voucher-request is answered 200",
			Requirements: rows("BRSKI-8995-5.6-02", "BRSKI-8995-9.1.1-01"), Run: runGood,
		},
		check{
			ID: "RFC8995-5.6-MASA-2", Level: must, Text: "the voucher comes as application/voucher-cms+json",
			Requirements: rows("BRSKI-8995-5.6-02"), Run: first(func(x *exchange) error {
				if got := x.answer.MediaType(); got != x.mediaType() {
					return fmt.Errorf("%v of %q, want %q", x.answer, got, x.mediaType())
				}
				return nil
			}),
		},
		check{
			ID: "RFC8995-5.6-MASA-3", Level: must, Text: "a refusal has an explanation in text/plain of UTF-8",
			Requirements: rows("BRSKI-8995-5.6-02"), Run: judged(content(func(r *voucher.Request) { r.Nonce = voucher.NewNonce() }), explained),
		},
		check{
			ID: "RFC8995-5.6-MASA-4", Level: should, Text: "a signature that does not hold is answered 403",
			Requirements: rows("BRSKI-8995-5.6-10"), Run: status(just(asking{body: tamper}), http.StatusForbidden),
		},
		check{
			ID: "RFC8995-5.6-MASA-5", Level: must, Text: "a voucher is not said to be one for others: no answer may be cached by them",
			Requirements: rows("BRSKI-8995-5.6-02"), Run: first(func(x *exchange) error {
				if cache := x.answer.Header.Get("Cache-Control"); strings.Contains(cache, "public") || strings.Contains(cache, "s-maxage") {
					return fmt.Errorf("%v with Cache-Control: %s", x.answer, cache)
				}
				return nil
			}),
		},
		check{
			ID: "RFC8995-5.6-MASA-6", Level: should, Text: "the same voucher-request again gets the same voucher, or is refused",
			Requirements: rows("BRSKI-8995-5.6-10", "BRSKI-8995-5.8-04"), Run: runSameRequest,
		},
		check{
			ID: "RFC8995-5.6-MASA-7", Level: must, Text: "another voucher-request with the same nonce gets the same voucher, or is refused",
			Requirements: rows("BRSKI-8995-5.6-15"), Run: runSameNonce,
		},
		check{
			ID: "RFC8995-5.6-MASA-8", Level: should, Text: "a device that the MASA has blocked is answered 403",
			Requirements: rows("BRSKI-8995-5.6-10"), Run: device("--blocked", "a device that nobody gets vouchers for", func(t *Target) *tls.Certificate { return t.Blocked }, func(a asking) run {
				return refused(just(a), http.StatusForbidden)
			}),
		},
		check{
			ID: "RFC8995-5.6-MASA-9", Level: should, Text: "a device that is another domain's is answered 403 or 404",
			Requirements: rows("BRSKI-8995-5.6-10"), Run: device("--foreign", "a device that another domain owns", func(t *Target) *tls.Certificate { return t.Foreign }, func(a asking) run {
				return refused(just(a), http.StatusForbidden, http.StatusNotFound)
			}),
		},
		check{
			ID: "RFC8995-5.6-MASA-10", Level: should, Text: "a serial number that the MASA does not know is answered 404, or 403",
			Requirements: rows("BRSKI-8995-5.6-10"), Run: status(just(asking{content: func(r *voucher.Request) {
				r.SerialNumber, r.PriorSignedVoucherRequest = "conformance-no-such-device", nil
			}}), http.StatusNotFound, http.StatusForbidden),
		},
	)
}

// device is a check about a device that the tester names.
func device(option, what string, pledge func(*Target) *tls.Certificate, with func(asking) run) run {
	return func(ctx context.Context, t *Target) error {
		p := pledge(t)
		if p == nil {
			return skipf("this takes %s; give its IDevID with %s and %s-key", what, option, option)
		}
		return with(asking{pledge: p})(ctx, t)
	}
}

// status wants one of these where the request is refused; that it is, is for others.
func status(make making, statuses ...int) run {
	return judged(make, func(x *exchange) error {
		switch {
		case x.answer.OK():
			return skipf("%v: it was not refused, which is for other checks", x.answer)
		case !slices.Contains(statuses, x.answer.Status):
			return fmt.Errorf("%v, want one of %v", x.answer, statuses)
		}
		return nil
	})
}

func runGood(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return errors.New(strings.TrimSuffix(err.Error(), seeFirst))
	}
	return nil
}

func explained(x *exchange) error {
	charset := x.answer.Parameter("charset")
	switch {
	case x.answer.OK():
		return skipf("%v: it was not refused, which is for other checks", x.answer)
	case x.answer.MediaType() != "text/plain":
		return fmt.Errorf("%v of %q, want text/plain", x.answer, x.answer.MediaType())
	case charset != "" && charset != "utf-8" && charset != "us-ascii" || !utf8.Valid(x.answer.Body):
		return fmt.Errorf("%v in %q, want UTF-8", x.answer, charset)
	case len(bytes.TrimSpace(x.answer.Body)) == 0:
		return fmt.Errorf("%v without a text", x.answer)
	}
	return nil
}

func runSameRequest(ctx context.Context, t *Target) error {
	x, err := t.good(ctx)
	if err != nil {
		return err
	}
	again := *x
	if err := t.send(ctx, &again); err != nil {
		return err
	}
	return sameOrRefused(x, &again)
}

func runSameNonce(ctx context.Context, t *Target) error {
	x, err := t.good(ctx)
	if err != nil {
		return err
	}
	again, err := t.ask(ctx, asking{nonce: x.nonce, content: func(r *voucher.Request) { r.CreatedOn = r.CreatedOn.Add(-time.Minute) }})
	if err != nil {
		return err
	}
	return sameOrRefused(x, again)
}

func sameOrRefused(x, again *exchange) error {
	switch {
	case again.answer.Refused():
		return nil
	case again.answer.Status != http.StatusOK:
		return fmt.Errorf("%v, want 200 or 4xx", again.answer)
	case !bytes.Equal(x.answer.Body, again.answer.Body):
		return fmt.Errorf("%v with another voucher for the nonce that was answered already", again.answer)
	}
	return nil
}

// vouchers: what is in one (RFC 8995, Section 5.6, and RFC 8366, Section 5.3).
func vouchers() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.6",
			check{
				ID: "RFC8995-5.6-MASA-11", Level: must, Text: "the voucher repeats the nonce as it was sent",
				Requirements: rows("BRSKI-8995-5.6-14"), Run: looked(func(x *exchange) error {
					if got, _ := x.leaf("nonce"); got != x.request.Nonce {
						return fmt.Errorf("the nonce is %q, want %q", got, x.request.Nonce)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.6-MASA-12", Level: must, Text: "the voucher has the device's serial-number",
				Requirements: rows("BRSKI-8995-5.6-14"), Run: looked(func(x *exchange) error {
					if x.voucher.SerialNumber != x.request.SerialNumber {
						return fmt.Errorf("serial-number is %q, want %q", x.voucher.SerialNumber, x.request.SerialNumber)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.6-MASA-13", Level: must, Text: "the voucher pins a certificate of the registrar's chain",
				Requirements: rows("BRSKI-8995-5.6-14"), Run: looked(pinOfTheChain),
			},
			check{
				ID: "RFC8995-5.6-MASA-14", Level: may, Text: "domain-cert-revocation-checks is false where it is there",
				Requirements: rows("BRSKI-8995-5.6-12"), Run: looked(func(x *exchange) error {
					if said := x.voucher.DomainCertRevocationChecks; said != nil && *said {
						return errors.New("it is true: devices that cannot reach revocation lists yet will not join")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.6-MASA-15", Level: must, Text: "two nonces get two vouchers, each with its own",
				Requirements: rows("BRSKI-8995-5.6-14"), Run: opened(just(asking{}), func(x *exchange) error {
					if x.voucher.Nonce != x.request.Nonce {
						return fmt.Errorf("the nonce is %q, want %q", x.voucher.Nonce, x.request.Nonce)
					}
					return nil
				}),
			},
		),
		in("RFC 8366, Section 5.3",
			check{
				ID: "RFC8366-5.3-MASA-1", Level: must, Text: "a voucher with a nonce has no expires-on",
				Requirements: rows("BRSKI-8366-5.3-02"), Run: looked(func(x *exchange) error {
					if x.voucher.Nonce != "" && !x.voucher.ExpiresOn.IsZero() {
						return fmt.Errorf("it has a nonce, and expires on %s", x.voucher.ExpiresOn.Format(time.RFC3339))
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366-5.3-MASA-2", Level: must, Text: "the assertion is one of the enumeration",
				Requirements: rows("BRSKI-8366BIS-8.4-06"), Run: signedData(func(x *exchange, _ *cms.SignedData) error {
					known := []any{string(voucher.Verified), string(voucher.Logged), string(voucher.Proximity), string(voucher.AgentProximity)}
					if said, _ := x.leaf("assertion"); !slices.Contains(known, said) {
						return fmt.Errorf("the assertion is %v", said)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366-5.3-MASA-3", Level: must, Text: "created-on is there and is now, within ten minutes",
				Requirements: rows("BRSKI-8995-5.6-14"), Run: looked(func(x *exchange) error {
					if off := time.Since(x.voucher.CreatedOn); off < -10*time.Minute || off > 10*time.Minute {
						return fmt.Errorf("created-on is %s, and here it is %s", x.voucher.CreatedOn.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
					}
					return nil
				}),
			},
		),
	)
}
