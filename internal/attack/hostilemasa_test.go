package attack_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	brskipledge "github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// hostileMASAs is what a MASA may do that has lost its mind, or its key.
func hostileMASAs() []*hostile {
	const bad = http.StatusBadGateway
	lies := func(change func(s *scene, v *voucher.Voucher)) answering {
		return func(t *testing.T, s *scene, q *voucher.Request) []byte {
			return s.forge(t, q, s.Vendor.Vouchers, change)
		}
	}
	list := []*hostile{
		{does: "returns another nonce", reason: registrar.ReasonVoucherNonce, careless: brskipledge.ReasonVoucherNonce,
			play: masaThat(lies(func(_ *scene, v *voucher.Voucher) { v.Nonce = voucher.NewNonce() }))},
		{does: "returns another serial number", reason: registrar.ReasonVoucherSerial, careless: brskipledge.ReasonVoucherSerial,
			play: masaThat(lies(func(_ *scene, v *voucher.Voucher) { v.SerialNumber = "SN-2" }))},
		{does: "pins another domain", reason: registrar.ReasonVoucherPin, careless: brskipledge.ReasonNotPinned,
			play: masaThat(lies(func(s *scene, v *voucher.Voucher) { v.PinnedDomainCert = s.Vendor.Web.Certificate.Raw }))},
		{does: "returns an expired voucher", reason: registrar.ReasonVoucherExpired, careless: brskipledge.ReasonVoucherExpired,
			play: masaThat(lies(func(s *scene, v *voucher.Voucher) {
				v.ExpiresOn, v.AllowNonceWithExpiresOn = s.Now().Add(-time.Hour), true
			}))},
		{does: "returns another vendor's voucher", reason: registrar.ReasonVoucherSigner, careless: brskipledge.ReasonVoucherSigner,
			play: masaThat(func(t *testing.T, s *scene, q *voucher.Request) []byte {
				return s.forge(t, q, testpki.NewRoot(t, "another vendor"), nil)
			})},
		{does: "returns a truncated voucher", reason: registrar.ReasonVoucherMalformed, careless: brskipledge.ReasonVoucherMalformed,
			play: masaThat(func(t *testing.T, s *scene, q *voucher.Request) []byte {
				raw := s.forge(t, q, s.Vendor.Vouchers, nil)
				return raw[:len(raw)/2]
			})},
		{does: "returns 2 MB", reason: registrar.ReasonMASAFailed, careless: brskipledge.ReasonVoucherTooLarge,
			play: masaThat(func(*testing.T, *scene, *voucher.Request) []byte { return []byte(strings.Repeat("x", 2<<20)) })},
		{does: "answers 200 with no body", reason: registrar.ReasonMASAFailed, careless: brskipledge.ReasonVoucherEmpty,
			play: masaThat(func(*testing.T, *scene, *voucher.Request) []byte { return nil })},
	}
	for _, c := range list {
		c.actor, c.at, c.status, c.pledge = "A MASA that", atRegistrar, bad, brskipledge.ReasonRegistrarFailed
	}
	return append(list, &hostile{
		actor: "A MASA that", does: "says nothing for an hour", at: atRegistrar, reason: registrar.ReasonMASAGaveUp, status: http.StatusGatewayTimeout,
		pledge: brskipledge.ReasonRegistrarFailed, careless: brskipledge.ReasonUnreachable, silent: true,
		play: func(t *testing.T, s *scene) {
			s.Vendor.Instead(func(http.Handler) http.Handler { return http.HandlerFunc(systemtest.Silent) })
			began := time.Now()
			s.err = s.device.Onboard(s.home.URL)
			if took := time.Since(began); took < time.Hour {
				t.Errorf("it took %s, want an hour", took)
			}
		},
	})
}

// answering is what a MASA says to a registrar's voucher-request.
type answering func(t *testing.T, s *scene, q *voucher.Request) []byte

// forge signs the voucher that is asked for; change may falsify it.
func (s *scene) forge(t *testing.T, q *voucher.Request, by *testpki.Identity, change func(*scene, *voucher.Voucher)) []byte {
	v := &voucher.Voucher{
		Assertion: voucher.Proximity, CreatedOn: s.Now(), SerialNumber: q.SerialNumber, Nonce: q.Nonce, PinnedDomainCert: s.home.Root.Certificate.Raw,
	}
	if change != nil {
		change(s, v)
	}
	raw, err := vouchercms.Format{}.SignVoucher(t.Context(), v, &voucher.Signer{Key: by.Key, Certificate: by.Certificate})
	if err != nil {
		t.Errorf("SignVoucher: %v", err)
	}
	return raw
}

// masaThat has the MASA answer so, a pledge of ours onboard at an honest
// registrar, and the pledge ask for a certificate all the same.
func masaThat(answer answering) func(t *testing.T, s *scene) {
	return func(t *testing.T, s *scene) {
		s.Vendor.Instead(func(honest http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, string(brski.OpRequestVoucher)) {
					honest.ServeHTTP(rw, r)
					return
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				q, _, err := vouchercms.Format{}.OpenRequest(body)
				if err != nil {
					t.Errorf("the registrar's request: %v", err)
					return
				}
				rw.Header().Set("Content-Type", vouchercms.MediaType)
				_, _ = rw.Write(answer(t, s, q))
			})
		})
		if s.told != nil { // another registrar asks
			return
		}
		s.err = s.device.Onboard(s.home.URL)
		s.enrollsNothing(t, registrar.ReasonNotVouched)
	}
}

// enrollsNothing has the device ask the honest registrar for a certificate.
func (s *scene) enrollsNothing(t *testing.T, want string) {
	t.Helper()
	h := &house{t: t, service: s.home.Service}
	h.clock.Store(s.Now().UnixNano())
	_, err := h.enroll(pkix.Name{SerialNumber: s.device.Serial}).cert(chainOf(s.device.IDevID)...).send()
	if got := reason(err); got != want {
		t.Errorf("enrolling all the same: %q (%v), want %s", got, err, want)
	}
}

// runCareless has the pledge onboard at a registrar that checks nothing: it is
// the pledge that has to see the lie, and to say so.
func (c *hostile) runCareless(t *testing.T, start newWorld) {
	s := c.scene(t, start)
	s.told = [][]byte{}
	url := s.Serve(s.home.Registrar, s.careless(t))
	s.device.Config.NoWait = true
	switch {
	case c.silent:
		s.Vendor.Instead(func(http.Handler) http.Handler { return http.HandlerFunc(systemtest.Silent) })
	default:
		c.play(t, s)
	}
	s.err = s.device.Onboard(url)
	s.checkPledge(t, c.careless)
	if !c.silent {
		s.checkTold(t, c.careless)
	}
}

// careless hands on what pledge and MASA say without a look at it.
func (s *scene) careless(t *testing.T) http.Handler {
	t.Helper()
	transport := &http.Transport{
		DialContext:     s.Dial,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Vendor.Web.Pool()},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !strings.HasSuffix(r.URL.Path, string(brski.OpRequestVoucher)) {
			s.told = append(s.told, body)
			return
		}
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodPost, s.Vendor.URL+"/requestvoucher", bytes.NewReader(s.home.MASARequest(body, nil).Raw))
		if err != nil {
			t.Error(err)
			return
		}
		ask.Header.Set("Content-Type", vouchercms.MediaType)
		ask.Header.Set("Accept", vouchercms.MediaType)
		res, err := (&http.Client{Transport: transport}).Do(ask)
		if err != nil {
			return
		}
		defer res.Body.Close()
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		rw.WriteHeader(res.StatusCode)
		_, _ = io.Copy(rw, res.Body)
	})
}
