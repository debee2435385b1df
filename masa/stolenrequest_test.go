package masa_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

// around returns the victim's signed request with a thief's certificates in
// place of the victim's: the signature covers the request and not them, and a
// CA certifies any public key, under any name and serial number.
func (w *world) around(victim, thief *domain, nonce string) []byte {
	w.t.Helper()
	forged := thief.root.Issue(w.t, &x509.Certificate{
		SerialNumber: victim.registrar.Certificate.SerialNumber, RawSubject: victim.registrar.Certificate.RawSubject,
		UnknownExtKeyUsage: victim.registrar.Certificate.UnknownExtKeyUsage,
	}, victim.registrar.Key)
	a := w.ask(victim, nonce)
	a.signer, a.chain = forged, forged.Chain
	return a.bytes(w.t)
}

// Who got hold of a registrar's request, as another manufacturer's MASA does,
// puts his own CA around it. An owner on record, anchors, and the TLS
// connection each stop it; and the victim has the nonce to itself.
func TestARequestWithOtherCertificatesAroundItIsRefused(t *testing.T) {
	const nonce = "0123456789abcdef"
	for name, c := range map[string]struct {
		change func(*world, *masa.Settings)
		reason string
	}{
		"the owner on record": {func(w *world, _ *masa.Settings) { w.own(w.mine) }, masa.ReasonNotOwner},
		"anchors":             {func(w *world, s *masa.Settings) { s.RegistrarAnchors = w.mine.root.Pool() }, masa.ReasonRegistrarAnchor},
		"the connection": {func(_ *world, s *masa.Settings) { s.ClientCertificate = masa.ClientCertificateAlways },
			masa.ReasonOtherClient},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			settings := *w.settings
			c.change(w, &settings)
			if err := w.service.Reload(&settings); err != nil {
				t.Fatal(err)
			}
			stolen := w.request(w.around(w.mine, w.theirs, nonce))
			stolen.Registrar = w.theirs.registrar.Certificate
			got, err := w.service.RequestVoucher(t.Context(), stolen)
			wantRefusal(t, got != nil, err, 403, c.reason)
			own := w.request(w.ask(w.mine, nonce).bytes(t))
			own.Registrar = w.mine.registrar.Certificate
			if _, err := w.service.RequestVoucher(t.Context(), own); err != nil {
				t.Errorf("the victim, afterwards: %v", err)
			}
		})
	}
}

// RFC 8995, Section 5.4: where every registrar has to hold the connection, a
// request is of no use to anybody else, for the audit-log neither. An operator
// who carries one answers for it.
func TestWhereTheConnectionCountsARequestIsOfNoUseToOthers(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.ClientCertificate = masa.ClientCertificateAlways })
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	own := w.request(raw)
	own.Registrar = w.mine.registrar.Certificate
	v, err := w.service.RequestVoucher(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.service.RequestAuditLog(t.Context(), own); err != nil {
		t.Errorf("the audit-log for the registrar itself: %v", err)
	}
	for _, client := range []*x509.Certificate{nil, w.theirs.registrar.Certificate} {
		r := w.request(raw)
		r.Registrar = client
		got, err := w.service.RequestVoucher(t.Context(), r)
		wantRefusal(t, got != nil, err, 403, masa.ReasonOtherClient)
		log, err := w.service.RequestAuditLog(t.Context(), r)
		wantRefusal(t, log != nil, err, 403, masa.ReasonOtherClient)
	}
	carried, err := w.service.AnswerCarried(t.Context(), &masa.CarriedRequest{MediaType: own.MediaType, Raw: raw, By: "test"})
	if err != nil || !bytes.Equal(carried.Voucher, v.Raw) {
		t.Errorf("carried by an operator: %v, want the same voucher", err)
	}
	settings := *w.settings
	settings.ClientCertificate = "sometimes"
	if err := w.service.Reload(&settings); err == nil {
		t.Error("Reload took client certificates for \"sometimes\"")
	}
}

// R18: each new voucher is kept for good, with a request of up to 256 KiB. A
// domain that has a device sign without end fills the disk no faster than that.
func TestOneDeviceDoesNotFillTheRecords(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.VouchersPerMinute = 3 })
	nonce := func(n int) string { return fmt.Sprintf("0123456789abcde%d", n) }
	for n := range 3 {
		w.voucher(w.ask(w.mine, nonce(n)).bytes(t))
	}
	w.refused(w.ask(w.mine, nonce(3)).bytes(t), 429, masa.ReasonBudget)
	w.voucher(w.ask(w.mine, nonce(0)).bytes(t)) // on record
	w.voucher(w.ask(w.theirs, nonce(4)).bytes(t))
	if n := w.records(); n != 4 {
		t.Errorf("%d issuances on record, want 4", n)
	}
	w.at = w.at.Add(masa.BudgetWindow)
	w.voucher(w.ask(w.mine, nonce(3)).bytes(t))
}

// A hostile registrar answers for nothing that it cannot show: each of these
// has another wrong thing about who the registrar is.
func TestHostileChainsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		signer func(*testing.T, *world) *testpki.Identity
		reason string
	}{
		"a registrar below a registrar": {func(t *testing.T, w *world) *testpki.Identity {
			return w.mine.registrar.Registrar(t, "below")
		}, masa.ReasonRegistrarChain},
		"a registrar below a device": {func(t *testing.T, w *world) *testpki.Identity {
			return w.idevid.Registrar(t, "below")
		}, masa.ReasonRegistrarChain},
		"a CA that must not sign": {func(t *testing.T, w *world) *testpki.Identity {
			ca := w.mine.root.Issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}, testpki.NewKey(t))
			return ca.Registrar(t, "registrar")
		}, masa.ReasonRegistrarChain},
		"a CA past its path length": {func(t *testing.T, w *world) *testpki.Identity {
			first := w.mine.root.Issue(t, &x509.Certificate{
				IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
			}, testpki.NewKey(t))
			return first.NewIntermediate(t, "second").Registrar(t, "registrar")
		}, masa.ReasonRegistrarChain},
		"a server":    {func(t *testing.T, w *world) *testpki.Identity { return w.mine.ca.Server(t, "web") }, masa.ReasonRegistrarRole},
		"a CA itself": {func(_ *testing.T, w *world) *testpki.Identity { return w.mine.ca }, masa.ReasonRegistrarRole},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.ask(w.mine, "0123456789abcdef")
			a.signer = c.signer(t, w)
			a.chain = a.signer.Chain
			a.pledge.ProximityRegistrarCert = a.signer.Certificate.Raw
			w.refused(a.bytes(t), 403, c.reason)
		})
	}
}

// A thief that is refused for a device has not taken its nonce, nor fixed its IDevID.
func TestARefusedThiefLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	w.refused(w.ask(w.theirs, "0123456789abcdef").bytes(t), 403, masa.ReasonNotOwner)
	device, err := w.service.Device(t.Context(), masa.DeviceRef{SerialNumber: serial})
	if err != nil || device.Device.IDevID != nil || len(device.Vouchers) != 0 {
		t.Errorf("%+v, %v; want neither an IDevID nor a voucher on record", device, err)
	}
	if v, _ := w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t)); v.Assertion != voucher.Proximity {
		t.Errorf("assertion %q for the owner, want proximity", v.Assertion)
	}
	_, err = w.service.RequestAuditLog(t.Context(), w.request(w.ask(w.theirs, "0123456789abcdef").bytes(t)))
	var e *est.Error
	if !errors.As(err, &e) || e.Status != 404 {
		t.Errorf("the audit-log for the thief: %v, want 404", err)
	}
}
