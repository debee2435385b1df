package brskimasa

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// devices: two with one serial number (rfc8366bis, Section 6.2).
func devices() []check {
	twin := func(with func(asking) run) run {
		return device("--twin", "a device with the serial number of --pledge, of another issuer", func(t *Target) *tls.Certificate { return t.Twin }, with)
	}
	return slices.Concat(
		in("draft-ietf-anima-rfc8366bis, Section 6.2", check{
			ID: "RFC8366bis-6.2-MASA-2", Level: must, Text: "of two devices with one serial number each voucher has its device's idevid-issuer",
			Requirements: rows("BRSKI-8366BIS-6.2-01", "BRSKI-8366BIS-6.2-04"), Run: twin(func(a asking) run {
				return func(ctx context.Context, t *Target) error {
					for _, pledge := range []*tls.Certificate{t.Pledge, a.pledge} {
						if err := opened(just(asking{pledge: pledge}), ownIssuer)(ctx, t); err != nil {
							return err
						}
					}
					return nil
				}
			}),
		}),
		in("RFC 8995, Section 5.8", check{
			ID: "RFC8995-5.8-MASA-13", Level: must, Text: "the audit-logs of two devices with one serial number are apart",
			Requirements: rows("BRSKI-8995-5.8-07"), Run: twin(runTwinLogs),
		}),
	)
}

func ownIssuer(x *exchange) error {
	want, err := voucher.IDevIDIssuer(leafOf(x.pledge))
	if err != nil {
		return err
	}
	if !bytes.Equal(x.voucher.IDevIDIssuer, want) {
		return fmt.Errorf("idevid-issuer is %x, want %x", x.voucher.IDevIDIssuer, want)
	}
	return nil
}

func runTwinLogs(a asking) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.ask(ctx, a)
		if err != nil {
			return err
		}
		if x.answer.Status != http.StatusOK {
			return skipf("%v (see RFC8366bis-6.2-MASA-2)", x.answer)
		}
		for _, of := range []struct {
			pledge *tls.Certificate
			there  bool
		}{{a.pledge, true}, {t.Pledge, false}} {
			l, err := t.log(ctx, asking{pledge: of.pledge})
			if err != nil {
				return err
			}
			if l.event(x.nonce) != nil != of.there {
				return fmt.Errorf("the voucher for one of them is in the log of the device of %q: %t", leafOf(of.pledge).Issuer, !of.there)
			}
		}
		return nil
	}
}

// nonceless: vouchers that do not depend on the MASA being there
// (RFC 8995, Sections 5.5.4 and 9).
func nonceless() []check {
	with := func(r func(asking) run) run {
		return device("--nonceless", "a device that the registrar gets vouchers without a nonce for", func(t *Target) *tls.Certificate { return t.Nonceless }, func(a asking) run {
			a.none = true
			return r(a)
		})
	}
	of := func(judge func(*exchange) error) run {
		return with(func(a asking) run {
			return judged(just(a), func(x *exchange) error {
				switch {
				case x.answer.Status != http.StatusOK:
					return skipf("%v (see RFC8995-9-MASA-1)", x.answer)
				case x.voucher == nil:
					return skipf("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
				}
				return judge(x)
			})
		})
	}
	return slices.Concat(
		in("RFC 8995, Section 9", check{
			ID: "RFC8995-9-MASA-1", Level: must, Text: "a registrar that is known gets a voucher without a nonce, for a device to take when the MASA is not there",
			Requirements: rows("BRSKI-8995-9-01", "BRSKI-8995-5.5.4-02"), Run: with(func(a asking) run {
				return opened(just(a), func(x *exchange) error {
					if x.voucher.Nonce != "" {
						return fmt.Errorf("the nonce is %q, and none was sent", x.voucher.Nonce)
					}
					return nil
				})
			}),
		}),
		in("RFC 8995, Section 7.4.1", check{
			ID: "RFC8995-7.4.1-MASA-1", Level: should, Text: "a voucher without a nonce has an expires-on, in the future",
			Requirements: rows("BRSKI-8995-7.4.1-02"), Run: of(func(x *exchange) error {
				if !x.voucher.ExpiresOn.After(time.Now()) {
					return fmt.Errorf("expires-on is %s", x.voucher.ExpiresOn.Format(time.RFC3339))
				}
				return nil
			}),
		}),
		in("RFC 8366, Section 5.3", check{
			ID: "RFC8366-5.3-MASA-4", Level: must, Text: "expires-on is not later than the end of the certificate that is pinned",
			Requirements: rows("BRSKI-8366-5.3-01", "BRSKI-8995-5.6-13"), Run: of(func(x *exchange) error {
				pinned, err := x.pinned()
				switch {
				case err != nil:
					return skipf("%v (see RFC8995-5.6-MASA-13)", err)
				case x.voucher.ExpiresOn.After(pinned.NotAfter):
					return fmt.Errorf("expires-on is %s, and the pinned certificate ends on %s", x.voucher.ExpiresOn.Format(time.RFC3339), pinned.NotAfter.Format(time.RFC3339))
				}
				return nil
			}),
		}),
		in("draft-ietf-anima-rfc8366bis, Section 8.4", check{
			ID: "RFC8366bis-8.4-MASA-4", Level: must, Text: "last-renewal-date is only in vouchers that expire",
			Requirements: rows("BRSKI-8366BIS-8.4-03"), Run: of(func(x *exchange) error {
				if !x.voucher.LastRenewalDate.IsZero() && x.voucher.ExpiresOn.IsZero() {
					return errors.New("it is there without expires-on")
				}
				return nil
			}),
		}),
	)
}
