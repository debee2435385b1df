package attack_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	brskipledge "github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// hostileRegistrars is what a registrar may do that wants a device which is not its.
func hostileRegistrars() []*hostile {
	const forbidden = http.StatusForbidden
	list := []*hostile{
		{does: "imprints with another certificate than its TLS one", at: atMASA, reason: masa.ReasonProximity, status: forbidden,
			pledge: brskipledge.ReasonRegistrarRefused, play: imprintsWithAnother},
		{does: "imprints so with a voucher for no device in particular", at: atPledge, reason: brskipledge.ReasonNotPinned,
			pledge: brskipledge.ReasonNotPinned, product: func(p *masa.Product) { p.AllowNoPriorSigned = true }, play: imprintsWithoutThePledge},
		{does: "relays a device to another registrar", at: atRegistrar, reason: registrar.ReasonProximity, status: http.StatusUnauthorized,
			pledge: brskipledge.ReasonRegistrarRefused, play: relays},
		{does: "swaps the CA after the voucher", at: atPledge, reason: brskipledge.ReasonCACerts,
			pledge: brskipledge.ReasonCACerts, play: swapsTheCA},
		{does: "replays an old voucher to the pledge", at: atPledge, reason: brskipledge.ReasonVoucherNonce,
			pledge: brskipledge.ReasonVoucherNonce, before: 1, play: replaysToThePledge},
		{does: "sends an old voucher to the MASA as its request", at: atMASA, reason: masa.ReasonRegistrarRole, status: forbidden, // no registrar has signed it
			before: 1, play: replaysToTheMASA(func(_ *testing.T, s *old) *brski.MASARequest {
				r := s.evil.MASARequest(s.request, nil)
				r.Raw = s.voucher
				return r
			})},
		{does: "replays another one's request to the MASA", at: atMASA, reason: masa.ReasonOtherClient, status: forbidden, before: 1,
			settings: func(v *systemtest.Vendor) { v.Settings.ClientCertificate = masa.ClientCertificateAlways },
			play: replaysToTheMASA(func(_ *testing.T, s *old) *brski.MASARequest {
				return s.home.MASARequest(s.request, nil)
			})},
		{does: "replays to the MASA what a pledge signed for another one", at: atMASA, reason: masa.ReasonProximity, status: forbidden, before: 1,
			play: replaysToTheMASA(func(_ *testing.T, s *old) *brski.MASARequest { return s.evil.MASARequest(s.request, nil) })},
		{does: "replays an old request of the pledge with another nonce", at: atMASA, reason: masa.ReasonNonceMismatch, status: forbidden, before: 1,
			play: replaysToTheMASA(func(_ *testing.T, s *old) *brski.MASARequest {
				return s.home.MASARequest(s.request, func(q *voucher.Request) { q.Nonce = voucher.NewNonce() })
			})},
		{does: "replays its old request after the device was sold", at: atMASA, reason: masa.ReasonNotOwner, status: forbidden, before: 1,
			play: replaysToTheMASA(func(_ *testing.T, s *old) *brski.MASARequest {
				s.Vendor.Sell(s.device, s.evil)
				return s.home.MASARequest(s.request, nil)
			})},
	}
	for _, c := range list {
		c.actor = "A registrar that"
	}
	return list
}

// evil is a registrar's port that answers voucher-requests by answer, and hears
// what the pledge has to say.
func (s *scene) evil(id *testpki.Identity, answer func(rw http.ResponseWriter, r *http.Request, body []byte), rest http.Handler) string {
	return s.Serve(id, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch op := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]; brski.Operation(op) {
		case brski.OpRequestVoucher:
			answer(rw, r, body)
		case brski.OpVoucherStatus, brski.OpEnrollStatus:
			s.told = append(s.told, body)
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			rest.ServeHTTP(rw, r)
		}
	}))
}

// forward asks the MASA and hands on what it says, a refusal too.
func forward(rw http.ResponseWriter, r *http.Request, d *systemtest.Domain, q *brski.MASARequest) {
	v, err := d.MASA.RequestVoucher(r.Context(), q)
	var e *est.Error
	switch {
	case errors.As(err, &e):
		http.Error(rw, e.Message, e.Status)
	case err != nil:
		http.Error(rw, err.Error(), http.StatusBadGateway)
	default:
		rw.Header().Set("Content-Type", v.MediaType)
		_, _ = rw.Write(v.Raw)
	}
}

func imprintsWithAnother(t *testing.T, s *scene) {
	evil := s.Domain("evil")
	shown := testpki.NewRoot(t, "shown").Registrar(t, "shown")
	url := s.evil(shown, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		forward(rw, r, evil, evil.MASARequest(body, nil))
	}, http.NotFoundHandler())
	s.err = s.device.Onboard(url)
	s.noVouchers(t, 0)
}

// imprintsWithoutThePledge leaves out what the pledge signed, for a product of
// which the MASA allows that.
func imprintsWithoutThePledge(t *testing.T, s *scene) {
	evil := s.Domain("evil")
	shown := testpki.NewRoot(t, "shown").Registrar(t, "shown")
	url := s.evil(shown, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		forward(rw, r, evil, evil.MASARequest(body, func(q *voucher.Request) { q.PriorSignedVoucherRequest = nil }))
	}, http.NotFoundHandler())
	s.err = s.device.Onboard(url)
	s.noVouchers(t, 1) // for all to see in the audit-log
}

func relays(t *testing.T, s *scene) {
	between := testpki.NewRoot(t, "between").Registrar(t, "between")
	url := s.evil(between, func(rw http.ResponseWriter, _ *http.Request, body []byte) {
		status, text := s.device.Post(s.home.URL, body) // as if it had the IDevID's key, even
		http.Error(rw, string(text), status)
	}, http.NotFoundHandler())
	s.err = s.device.Onboard(url)
	s.noVouchers(t, 0)
}

func swapsTheCA(t *testing.T, s *scene) {
	evil := s.Domain("evil")
	url := s.evil(evil.Registrar, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		forward(rw, r, evil, evil.MASARequest(body, nil))
	}, &est.Handler{Backend: impostor{testpki.NewRoot(t, "evil root").Certificate}})
	s.err = s.device.Onboard(url)
	s.noVouchers(t, 1)
	if _, err := s.device.Load(brskipledge.FileCACerts); err == nil {
		t.Error("the pledge keeps the CA certificates")
	}
}

// old is a scene after a device has onboarded, and was reset.
type old struct {
	*scene
	evil    *systemtest.Domain
	request []byte // that the pledge signed
	voucher []byte
}

func (s *scene) onboarded(t *testing.T) *old {
	t.Helper()
	if err := s.device.Onboard(s.home.URL); err != nil {
		t.Fatalf("Onboard: %v", err)
	}
	o := &old{scene: s, evil: s.Domain("evil")}
	var err error
	if o.request, err = s.device.Load(brskipledge.FileRequest); err != nil {
		t.Fatal(err)
	}
	if o.voucher, err = s.device.Load(brskipledge.FileVoucher); err != nil {
		t.Fatal(err)
	}
	s.device.Reset()
	s.Advance(time.Hour)
	return o
}

func replaysToThePledge(t *testing.T, s *scene) {
	o := s.onboarded(t)
	url := s.evil(s.home.Registrar, func(rw http.ResponseWriter, _ *http.Request, _ []byte) {
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		_, _ = rw.Write(o.voucher)
	}, http.NotFoundHandler())
	s.err = s.device.Onboard(url)
}

// replaysToTheMASA sends a request over the evil registrar's connection.
func replaysToTheMASA(request func(t *testing.T, s *old) *brski.MASARequest) func(t *testing.T, s *scene) {
	return func(t *testing.T, s *scene) {
		o := s.onboarded(t)
		_, err := o.evil.MASA.RequestVoucher(t.Context(), request(t, o))
		var e *est.Error
		if !errors.As(err, &e) {
			t.Fatalf("RequestVoucher = %v, want a refusal", err)
		}
		s.status, s.text = e.Status, []byte(e.Message)
		s.noVouchers(t, 1)
	}
}
