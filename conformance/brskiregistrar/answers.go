package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// masaFails wants an answer of 4xx or 5xx, or one that puts the pledge off,
// when the MASA answers voucher-requests so.
func masaFails(answer answering) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		pledge, err := t.another()
		if err != nil {
			return err
		}
		x, err := t.askOnce(ctx, asking{pledge: pledge, masa: answer})
		if err != nil {
			return err
		}
		x.record(ctx)
		switch {
		case len(x.requested()) == 0:
			return skipf("%v, and the MASA was not asked", x.answer)
		case x.answer.Status >= 400 && x.answer.Status <= 599:
			return nil
		case x.answer.Status == http.StatusAccepted:
			if x.answer.Header.Get("Retry-After") == "" {
				return fmt.Errorf("%v without Retry-After", x.answer)
			}
			return nil
		default:
			return fmt.Errorf("%v, want 4xx or 5xx", x.answer)
		}
	}
}

// another is another device where one can be made, so that what becomes of it
// does not become of the others; the pledge otherwise.
func (t *Target) another() (*tls.Certificate, error) {
	if t.Manufacturer == nil {
		return t.Pledge, nil
	}
	return t.made(t.fresh())
}

// askOnce does not come again after a 202.
func (t *Target) askOnce(ctx context.Context, a asking) (*exchange, error) {
	a.once = true
	return t.ask(ctx, a)
}

// lies answers with a changed voucher.
func lies(change func(*voucher.Voucher)) answering { return issues(change) }

// altered answers with changed bytes of a good voucher.
func altered(f func([]byte) []byte) answering {
	return func(m *MASA, w http.ResponseWriter, a *arrival) {
		if a.request == nil || a.isLog() {
			m.issue(w, a)
			return
		}
		m.signed(w, a, nil, f)
	}
}

// answers: from the MASA to the pledge (RFC 8995, Section 5.6).
func answers() []check {
	fails := func(id, text string, level conformance.Level, row string, f answering) check {
		return check{ID: id, Level: level, Text: text, Requirements: rows(row), Run: masaFails(f)}
	}
	const anyFault = "BRSKI-8995-5.6-03"
	return slices.Concat(
		in("RFC 8995, Section 5.6",
			check{
				ID: "RFC8995-5.6-REG-1", Level: must, Text: "the pledge gets the MASA's voucher byte for byte",
				Requirements: rows("BRSKI-8995-5.6-01"), Run: runUnchanged,
			},
			check{
				ID: "RFC8995-5.6-REG-2", Level: must, Text: "the voucher's Content-Type is application/voucher-cms+json",
				Requirements: rows("BRSKI-8995-5.6-03"), Run: judged(just(asking{}), func(x *exchange) error {
					if x.answer.OK() && x.answer.MediaType() != vouchercms.MediaType {
						return fmt.Errorf("%v with Content-Type %q", x.answer, x.answer.Header.Get("Content-Type"))
					}
					return nil
				}),
			},
			fails("RFC8995-5.6-REG-3", "the MASA's 403 is no success for the pledge", must, anyFault, refuses(http.StatusForbidden)),
			fails("RFC8995-5.6-REG-4", "the MASA's 404 is no success for the pledge", must, anyFault, refuses(http.StatusNotFound)),
			fails("RFC8995-5.6-REG-5", "the MASA's 406 is no success for the pledge", must, anyFault, refuses(http.StatusNotAcceptable)),
			fails("RFC8995-5.6-REG-6", "the MASA's 500 is no success for the pledge", must, anyFault, refuses(http.StatusInternalServerError)),
			fails("RFC8995-5.6-REG-7", "a MASA that closes the connection is no success for the pledge", must, anyFault, breaksOff),
			fails("RFC8995-5.6-REG-8", "a MASA's 200 without a body is no success for the pledge", must, anyFault, says(200, vouchercms.MediaType, nil)),
			fails("RFC8995-5.6-REG-9", "a web page of the MASA's is no voucher for the pledge", must, anyFault, says(200, "text/html", []byte("<p>Welcome</p>"))),
			fails("RFC8995-5.6-REG-10", "a redirect of the MASA's to a page without TLS is not followed", must, "BRSKI-8995-2.3.2-01", func(m *MASA, w http.ResponseWriter, _ *arrival) {
				w.Header().Set("Location", "http://"+m.addr.String()+"/plain")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}),
			fails("RFC8995-5.6-REG-11", "a truncated voucher is not passed on", may, anyFault, altered(func(b []byte) []byte { return b[:len(b)/2] })),
			fails("RFC8995-5.6-REG-12", "a voucher whose signature does not hold is not passed on", may, anyFault, altered(func(b []byte) []byte {
				b = slices.Clone(b)
				b[len(b)-1] ^= 0xff
				return b
			})),
			fails("RFC8995-5.6-REG-13", "a voucher of 4 MiB is not passed on", may, anyFault, altered(func(b []byte) []byte { return append(slices.Clone(b), make([]byte, 4<<20)...) })),
			fails("RFC8995-5.6-REG-14", "a voucher with another nonce is not passed on", may, anyFault, lies(func(v *voucher.Voucher) { v.Nonce = voucher.NewNonce() })),
			fails("RFC8995-5.6-REG-15", "a voucher for another serial number is not passed on", may, anyFault, lies(func(v *voucher.Voucher) { v.SerialNumber += "-other" })),
			fails("RFC8995-5.6-REG-16", "a voucher that somebody else signed is not passed on", may, anyFault, forgedVoucher),
			fails("RFC8995-5.6-REG-17", "a voucher that has expired is not passed on", may, anyFault, lies(func(v *voucher.Voucher) {
				v.AllowNonceWithExpiresOn, v.ExpiresOn = true, v.CreatedOn.Add(-time.Hour)
				v.CreatedOn = v.CreatedOn.Add(-2 * time.Hour)
			})),
			check{
				ID: "RFC8995-5.6-REG-18", Level: must, Text: "the same voucher-request is answered again, as after a 202",
				Requirements: rows("BRSKI-8995-5.6-05"), Run: runReplay,
			},
			check{
				ID: "RFC8995-5.6-REG-19", Level: must, Text: "a refusal of the MASA's is explained to the pledge in a body or is a bare status, but never a voucher's media type",
				Requirements: rows("BRSKI-8995-5.6-03"), Run: judged(just(asking{masa: refuses(http.StatusForbidden)}), func(x *exchange) error {
					if !x.answer.OK() && x.answer.MediaType() == vouchercms.MediaType {
						return fmt.Errorf("%v with a voucher's media type", x.answer)
					}
					return nil
				}),
			},
		),
		in("RFC 8995, Section 5.6.2",
			fails("RFC8995-5.6.2-REG-1", "a voucher that pins a certificate that is not the domain's is not passed on", must, "BRSKI-8995-5.6.2-03", pinsAnother),
		),
	)
}

func pinsAnother(m *MASA, w http.ResponseWriter, a *arrival) {
	lies(func(v *voucher.Voucher) { v.PinnedDomainCert = m.Certificate.Certificate[0] })(m, w, a)
}

func forgedVoucher(m *MASA, w http.ResponseWriter, a *arrival) {
	if a.request == nil || a.isLog() {
		m.issue(w, a)
		return
	}
	fake, err := issue(&x509.Certificate{
		RawSubject: leafOf(m.Signer).RawSubject, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, nil, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	raw, err := m.make(a, nil, fake)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	says(http.StatusOK, a.format().MediaType(), raw)(m, w, a)
}

// runUnchanged gives the voucher a leaf that nobody knows, to see that it stays.
func runUnchanged(ctx context.Context, t *Target) error {
	var issued []byte
	return judged(just(asking{masa: altered(func(b []byte) []byte { issued = slices.Clone(b); return b })}), func(x *exchange) error {
		switch {
		case !x.answer.OK():
			return skipf("%v", x.answer)
		case !bytes.Equal(x.answer.Body, issued):
			return fmt.Errorf("%v with %d bytes, and the MASA's voucher has %d", x.answer, len(x.answer.Body), len(issued))
		}
		return nil
	})(ctx, t)
}

func runReplay(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	_, err := t.ask(ctx, asking{again: func(ctx context.Context, _ *wire.Conn, x *exchange) error {
		r := x.posted()
		again, err := t.Do(ctx, &x.options, &r)
		if err == nil && again.Status != http.StatusOK && again.Status != http.StatusAccepted {
			err = fmt.Errorf("%v when the same bytes come again, and %d at first", again, x.answer.Status)
		}
		return err
	}})
	return err
}

// runPersistent uses one connection for all.
func runPersistent(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	_, err := t.ask(ctx, asking{again: func(ctx context.Context, c *wire.Conn, x *exchange) error {
		if !x.answer.OK() {
			return skipf("%v", x.answer)
		}
		for _, r := range []wire.Request{
			status(pathVoucherStatus, goodStatus), {Method: http.MethodGet, Path: "/.well-known/est/cacerts"},
		} {
			if _, err := c.Do(ctx, &r); err != nil {
				return fmt.Errorf("on the connection of the voucher-request: %w", err)
			}
		}
		return nil
	}})
	return err
}

func (a *arrival) isLog() bool { return len(operation([]*arrival{a}, brski.OpRequestAuditLog)) > 0 }
