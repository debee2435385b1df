package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

const cloudDraft = "draft-ietf-anima-brski-cloud-20, Section "

// CloudChecks returns the checks of a cloud registrar, which sends devices to
// their owners: it knows the owner of the target's pledge.
func CloudChecks() []check {
	return slices.Concat(
		in(cloudDraft+"2.2", check{
			ID: "BRSKICLOUD-2.2-REG-1", Level: must, Text: "csrattrs is not found at a cloud registrar",
			Requirements: rows("BRSKI-CLOUD-2.2-02"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathCSRAttrs})
				if err == nil && a.Status != http.StatusNotFound {
					err = fmt.Errorf("%v, want 404", a)
				}
				return err
			},
		}),
		in(cloudDraft+"3.1.2",
			check{
				ID: "BRSKICLOUD-3.1.2-REG-1", Level: must, Text: "the handshake asks for a certificate, and its hint, where there is one, has the pledge's issuer",
				Requirements: rows("BRSKI-CLOUD-3.1.2-04"), Run: runAsksForCertificate,
			},
			check{
				ID: "BRSKICLOUD-3.1.2-REG-2", Level: must, Text: "a client without a certificate is sent nowhere",
				Requirements: rows("BRSKI-CLOUD-3.1.2-04"), Run: refusedByCloud(just(asking{nobody: true})),
			},
			check{
				ID: "BRSKICLOUD-3.1.2-REG-3", Level: must, Text: "a device of a CA that only bears the manufacturer's name is sent nowhere",
				Requirements: rows("BRSKI-CLOUD-3.1.2-04"), Run: refusedByCloud(with((*Target).impostor)),
			},
		),
		in(cloudDraft+"3.2",
			check{
				ID: "BRSKICLOUD-3.2-REG-1", Level: must, Text: "a device with an owner is answered 307, or 200 with a voucher",
				Requirements: rows("BRSKI-CLOUD-3.2-01", "BRSKI-CLOUD-3.2-05"), Run: sentOn(func(x *exchange) error {
					if x.answer.Status == http.StatusTemporaryRedirect || x.answer.Status == http.StatusOK && x.answer.MediaType() == vouchercms.MediaType {
						return nil
					}
					return fmt.Errorf("%v of %q, want 307, or 200 with a voucher", x.answer, x.answer.MediaType())
				}),
			},
			check{
				ID: "BRSKICLOUD-3.2-REG-2", Level: must, Text: "a device that nobody knows is answered 404",
				Requirements: rows("BRSKI-CLOUD-3.2-02"), Run: refusedByCloud(with((*Target).stranger), http.StatusNotFound),
			},
			check{
				ID: "BRSKICLOUD-3.2-REG-3", Level: must, Text: "a truncated voucher-request is answered 400",
				Requirements: rows("BRSKI-CLOUD-3.2-02"), Run: refusedByCloud(body(func(b []byte) []byte { return b[:len(b)-9] }), http.StatusBadRequest),
			},
		),
		in(cloudDraft+"3.2.2", check{
			ID: "BRSKICLOUD-3.2.2-REG-1", Level: must, Text: "the Location of 307 is an https URI with a host, of another server",
			Requirements: rows("BRSKI-CLOUD-3.2.2-01"), Run: sentOn(func(x *exchange) error {
				if x.answer.Status != http.StatusTemporaryRedirect {
					return skipf("%v: the device is not redirected; run once more with one whose owner has a registrar", x.answer)
				}
				where := x.answer.Header.Get("Location")
				u, err := url.Parse(where)
				if err != nil || u.Scheme != "https" || u.Host == "" || "https://"+u.Host == x.site.URL {
					return fmt.Errorf("%v with Location: %q", x.answer, where)
				}
				return nil
			}),
		}),
		in(cloudDraft+"3.2.3", check{
			ID: "BRSKICLOUD-3.2.3-REG-1", Level: must, Text: "the voucher has est-domain, and is for this device and nonce",
			Requirements: rows("BRSKI-CLOUD-3.2.3-01"), Run: vouched(func(x *exchange, v *voucher.Voucher) error {
				switch {
				case v.ESTDomain == "":
					return errors.New("the voucher has no est-domain: the pledge does not know where to go")
				case v.SerialNumber != x.request.SerialNumber || v.Nonce != x.request.Nonce:
					return errors.New("the voucher is for another serial-number or nonce")
				}
				return nil
			}),
		}),
		in(cloudDraft+"9.4",
			check{
				ID: "BRSKICLOUD-9.4-REG-1", Level: must, Text: "a voucher is the MASA's, which was asked with the pledge's request in the registrar's own",
				Requirements: rows("BRSKI-CLOUD-9.4-01"), Run: vouched(func(x *exchange, _ *voucher.Voucher) error {
					asked := x.requested()
					switch {
					case len(asked) == 0 || asked[0].request == nil:
						return errors.New("the MASA was not asked, or with what does not open")
					case !bytes.Equal(asked[0].request.PriorSignedVoucherRequest, x.sent):
						return errors.New("prior-signed-voucher-request is not what the pledge sent")
					}
					return nil
				}),
			},
			check{
				ID: "BRSKICLOUD-9.4-REG-2", Level: must, Text: "a voucher with another nonce is not passed on",
				Requirements: rows("BRSKI-CLOUD-9.4-01"), Run: func(ctx context.Context, t *Target) error {
					if err := vouched(func(*exchange, *voucher.Voucher) error { return nil })(ctx, t); err != nil {
						return err
					}
					x, err := t.askOnce(ctx, asking{masa: lies(func(v *voucher.Voucher) { v.Nonce = voucher.NewNonce() })})
					if err == nil && x.answer.Status == http.StatusOK {
						err = fmt.Errorf("%v, want 4xx or 5xx", x.answer)
					}
					return err
				},
			},
		),
	)
}

// sentOn asks as a device that has an owner.
func sentOn(judge func(*exchange) error) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.ask(ctx, asking{})
		if err != nil {
			return err
		}
		x.record(ctx)
		return judge(x)
	}
}

// vouched looks at the voucher that a device gets whose owner has an EST server.
func vouched(judge func(*exchange, *voucher.Voucher) error) run {
	return sentOn(func(x *exchange) error {
		if x.answer.Status != http.StatusOK {
			return skipf("%v: the device gets no voucher; run once more with one whose owner has an EST server", x.answer)
		}
		v, _, err := vouchercms.Format{}.OpenVoucher(x.answer.Body)
		if err != nil {
			return skipf("%v, and the voucher does not open: %v (see BRSKICLOUD-3.2-REG-1)", x.answer, err)
		}
		return judge(x, v)
	})
}

// refusedByCloud wants one of these statuses, none means any 4xx, once the device
// itself has been sent on.
func refusedByCloud(make making, statuses ...int) run {
	return func(ctx context.Context, t *Target) error {
		x, err := t.ask(ctx, asking{})
		if err != nil {
			return err
		}
		if x.answer.Status != http.StatusTemporaryRedirect && x.answer.Status != http.StatusOK {
			return skipf("%v to a good voucher-request (see BRSKICLOUD-3.2-REG-1)", x.answer)
		}
		a, err := make(t)
		if err != nil {
			return err
		}
		if x, err = t.askOnce(ctx, a); err != nil {
			if len(statuses) == 0 {
				return ctx.Err() // not let in at all
			}
			return err
		}
		if !x.answer.Refused() || len(statuses) > 0 && !slices.Contains(statuses, x.answer.Status) {
			return fmt.Errorf("%v, want %v", x.answer, wanted(statuses))
		}
		return nil
	}
}

func wanted(statuses []int) string {
	if len(statuses) == 0 {
		return "4xx"
	}
	return fmt.Sprint(statuses)
}

func runAsksForCertificate(ctx context.Context, t *Target) error {
	var asked *tls.CertificateRequestInfo
	c, err := t.Dial(ctx, &wire.Options{Certificate: t.Pledge, Untrusted: true, Asked: func(info *tls.CertificateRequestInfo) { asked = info }})
	if err != nil {
		return err
	}
	defer c.Close()
	if asked == nil {
		return errors.New("the handshake has no CertificateRequest")
	}
	if len(asked.AcceptableCAs) == 0 {
		return nil
	}
	for _, der := range t.Pledge.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil && slices.ContainsFunc(asked.AcceptableCAs, func(name []byte) bool { return bytes.Equal(name, c.RawIssuer) }) {
			return nil
		}
	}
	return fmt.Errorf("the %d issuers that the handshake hints at are others", len(asked.AcceptableCAs))
}
