package pledge_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// forged is a voucher whose every part can be wrong.
type forged struct {
	signer      *testpki.Identity
	signingTime time.Time
	leaves      map[string]any // nonce is filled in unless it is there
}

// right is the voucher that the device takes.
func right(t testing.TB, w *brskitest.World, d *device) *forged {
	t.Helper()
	issuer, err := voucher.IDevIDIssuer(d.idevid.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return &forged{
		signer: w.Vendor.Client(t, "masa"), signingTime: time.Now(),
		leaves: map[string]any{
			"assertion": "proximity", "created-on": time.Now().UTC().Format(time.RFC3339), "serial-number": "JADA123456789",
			"idevid-issuer":      base64.StdEncoding.EncodeToString(issuer),
			"pinned-domain-cert": base64.StdEncoding.EncodeToString(w.Domain.Certificate.Raw),
		},
	}
}

// answer makes the registrar answer with it.
func (f *forged) answer(w *brskitest.World) {
	answerVoucher(w, func(rw http.ResponseWriter, r *http.Request) {
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		request, _ := openRequest(w.T, body.Bytes())
		if _, set := f.leaves["nonce"]; !set {
			f.leaves["nonce"] = request.Nonce
		}
		payload, err := json.Marshal(map[string]any{"ietf-voucher:voucher": f.leaves})
		if err != nil {
			w.T.Errorf("Marshal: %v", err)
		}
		raw, err := vouchercms.Format{}.SignPayload(r.Context(), payload, f.signingTime,
			&voucher.Signer{Key: f.signer.Key, Certificate: f.signer.Certificate})
		if err != nil {
			w.T.Errorf("SignPayload: %v", err)
		}
		send(vouchercms.MediaType, raw)(rw, r)
	})
}

// Each check is made before the next, has its own reason, is told to the
// registrar as false, and ends the connection.
//
// BRSKI-8995-2.6.1-03, BRSKI-8995-5.6.1-01, BRSKI-8995-5.6.1-02, BRSKI-8995-5.6.2-01.
func TestVoucherIsCheckedInOrder(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	wrongs := []struct {
		reason string
		spoil  func(*testing.T, *brskitest.World, *forged)
	}{
		{pledge.ReasonVoucherSigner, func(t *testing.T, _ *brskitest.World, f *forged) {
			f.signer = testpki.NewRoot(t, "Example Devices CA").Client(t, "masa")
		}},
		{pledge.ReasonVoucherSerial, func(_ *testing.T, _ *brskitest.World, f *forged) { f.leaves["serial-number"] = "JADA123456780" }},
		{pledge.ReasonVoucherIssuer, func(_ *testing.T, _ *brskitest.World, f *forged) {
			f.leaves["idevid-issuer"] = "BBgwFoAU" + "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
		}},
		{pledge.ReasonVoucherNonce, func(_ *testing.T, _ *brskitest.World, f *forged) { f.leaves["nonce"] = voucher.NewNonce() }},
		{pledge.ReasonVoucherExpired, func(_ *testing.T, _ *brskitest.World, f *forged) {
			f.leaves["expires-on"] = "2020-11-22T22:35:08Z"
		}},
		{pledge.ReasonVoucherFuture, func(_ *testing.T, _ *brskitest.World, f *forged) {
			f.leaves["created-on"] = tomorrow.UTC().Format(time.RFC3339)
		}},
		{pledge.ReasonVoucherAssertion, func(_ *testing.T, _ *brskitest.World, f *forged) { f.leaves["assertion"] = "logged" }},
		{pledge.ReasonVoucherPin, func(_ *testing.T, _ *brskitest.World, f *forged) { f.leaves["pinned-domain-cert"] = "MAA=" }},
	}
	for i, wrong := range wrongs {
		t.Run(wrong.reason, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w, func(c *pledge.Config) { c.Assertions = []voucher.Assertion{voucher.Proximity} })
			connections := d.countConnections()
			f := right(t, w, d)
			for _, also := range wrongs[i:] {
				also.spoil(t, w, f)
			}
			f.answer(w)
			d.onboardFails(wrong.reason, pledge.ErrUntrusted)
			d.checkNothingTrusted()
			d.checkVoucherTold(wrong.reason)
			if opened, closed := connections(); opened != 1 || closed != 1 {
				t.Errorf("%d connections opened and %d closed, want one that was closed", opened, closed)
			}
		})
	}
	t.Run("nothing wrong", func(t *testing.T) {
		w := brskitest.New(t)
		d := newDevice(t, w, func(c *pledge.Config) { c.Assertions = []voucher.Assertion{voucher.Proximity} })
		right(t, w, d).answer(w)
		d.onboard()
	})
}

// BRSKI-8366BIS-6.2-03: idevid-issuer is the own one; one byte of it tells manufacturers apart.
func TestVoucherForAnotherManufacturersDeviceIsRefused(t *testing.T) {
	w := brskitest.New(t)
	own, err := voucher.IDevIDIssuer(newDevice(t, w).idevid.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for at := range own {
		if at < len(own)-20 && at != 0 {
			continue // one of the header, and each of the key identifier
		}
		d := newDevice(t, w)
		f := right(t, w, d)
		changed := bytes.Clone(own)
		changed[at] ^= 1
		f.leaves["idevid-issuer"] = base64.StdEncoding.EncodeToString(changed)
		f.answer(w)
		d.onboardFails(pledge.ReasonVoucherIssuer, pledge.ErrUntrusted)
	}
}

// BRSKI-8995-2.6.1-02: a device with a clock checks the dates of the voucher, of
// its signature, of the signer's and the registrar's certificates and of what is above them.
// BRSKI-8995-2.6.1-01: a device without takes all of them.
func TestDatesCountWhereThereIsAClock(t *testing.T) {
	now := time.Now()
	past, soon, future := now.Add(-48*time.Hour), now.Add(-47*time.Hour), now.Add(time.Hour)
	for name, c := range map[string]struct {
		reason string
		set    func(*testing.T, *brskitest.World, *device, *forged)
	}{
		"expires-on has passed": {pledge.ReasonVoucherExpired, func(_ *testing.T, _ *brskitest.World, _ *device, f *forged) {
			f.leaves["expires-on"] = now.Add(-time.Minute).UTC().Format(time.RFC3339)
		}},
		"created-on is to come": {pledge.ReasonVoucherFuture, func(_ *testing.T, _ *brskitest.World, _ *device, f *forged) {
			f.leaves["created-on"] = future.UTC().Format(time.RFC3339)
		}},
		"signed in time to come": {pledge.ReasonVoucherFuture, func(_ *testing.T, _ *brskitest.World, _ *device, f *forged) { f.signingTime = future }},
		"signer has expired": {pledge.ReasonVoucherSigner, func(t *testing.T, w *brskitest.World, _ *device, f *forged) {
			f.signer = w.Vendor.Issue(t, &x509.Certificate{NotBefore: now.Add(-30 * time.Minute), NotAfter: now.Add(-time.Minute)}, testpki.NewKey(t))
		}},
		"signer is not valid yet": {pledge.ReasonVoucherSigner, func(t *testing.T, w *brskitest.World, _ *device, f *forged) {
			f.signer = w.Vendor.Issue(t, &x509.Certificate{NotBefore: future}, testpki.NewKey(t))
		}},
		"registrar has expired": {pledge.ReasonRegistrarExpired, func(t *testing.T, w *brskitest.World, d *device, _ *forged) {
			registrarOf(t, w, d, w.Issuing, now.Add(-30*time.Minute), now.Add(-time.Minute))
		}},
		"registrar is not valid yet": {pledge.ReasonRegistrarExpired, func(t *testing.T, w *brskitest.World, d *device, _ *forged) {
			registrarOf(t, w, d, w.Issuing, future, now.AddDate(1, 0, 0))
		}},
		"pinned registrar has expired": {pledge.ReasonRegistrarExpired, func(t *testing.T, w *brskitest.World, d *device, f *forged) {
			registrarOf(t, w, d, w.Issuing, past, soon)
			f.leaves["pinned-domain-cert"] = base64.StdEncoding.EncodeToString(w.Identity.Certificate.Raw)
		}},
		"CA of the registrar has expired": {pledge.ReasonRegistrarExpired, func(t *testing.T, w *brskitest.World, d *device, _ *forged) {
			ca := w.Domain.Issue(t, &x509.Certificate{
				Subject: w.Issuing.Certificate.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
				NotBefore: now.Add(-50 * time.Minute), NotAfter: now.Add(-time.Minute),
			}, testpki.NewKey(t))
			registrarOf(t, w, d, ca, now.Add(-40*time.Minute), now.AddDate(1, 0, 0))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			f := right(t, w, d)
			c.set(t, w, d, f)
			f.answer(w)
			d.onboardFails(c.reason, pledge.ErrUntrusted)
			d.checkNothingTrusted()

			noClock := newDevice(t, w, func(config *pledge.Config) {
				config.NoClock, config.RegistrarURL = true, d.config.RegistrarURL
				config.Now = func() time.Time { return time.Unix(60, 0) }
			})
			delete(f.leaves, "nonce")
			noClock.onboard()
		})
	}
}

// registrarOf replaces the registrar by one with a certificate of those dates.
func registrarOf(t *testing.T, w *brskitest.World, d *device, ca *testpki.Identity, from, to time.Time) {
	t.Helper()
	template := &x509.Certificate{
		NotBefore: from, NotAfter: to, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
	}
	w.Identity = ca.Issue(t, template, testpki.NewKey(t))
	d.config.RegistrarURL = serveTLS(t, w.Identity.TLS(), w.Handler())
}

// BRSKI-8366-5.3-03: the assertion has to satisfy the device's policy.
func TestAssertionHasToSatisfyThePolicy(t *testing.T) {
	for _, c := range []struct {
		policy []voucher.Assertion
		says   voucher.Assertion
		taken  bool
	}{
		{nil, voucher.Logged, true},
		{nil, voucher.Verified, true},
		{nil, voucher.Proximity, true},
		{[]voucher.Assertion{voucher.Proximity}, voucher.Proximity, true},
		{[]voucher.Assertion{voucher.Proximity}, voucher.Logged, false},
		{[]voucher.Assertion{voucher.Proximity}, voucher.Verified, false},
		{[]voucher.Assertion{voucher.Proximity}, voucher.AgentProximity, false},
		{[]voucher.Assertion{voucher.Proximity, voucher.Verified}, voucher.Verified, true},
		{[]voucher.Assertion{voucher.Verified}, voucher.Logged, false},
	} {
		w := brskitest.New(t)
		w.MASA.Change(func(v *voucher.Voucher) { v.Assertion = c.says })
		d := newDevice(t, w, func(config *pledge.Config) { config.Assertions = c.policy })
		if c.taken {
			d.onboard()
			continue
		}
		d.onboardFails(pledge.ReasonVoucherAssertion, pledge.ErrUntrusted)
		d.checkVoucherTold(pledge.ReasonVoucherAssertion)
	}
}

// BRSKI-8995-7.2-01: a voucher without a nonce is taken as long as it has not
// expired, by a device that nobody told otherwise.
func TestNoncelessVoucherIsTaken(t *testing.T) {
	nonceless := func(expires time.Time) func(*voucher.Voucher) {
		return func(v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "", expires }
	}
	w := brskitest.New(t)
	w.MASA.Change(nonceless(time.Now().Add(time.Hour)))
	newDevice(t, w).onboard()

	w = brskitest.New(t)
	w.MASA.Change(nonceless(time.Now().Add(-time.Hour)))
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonVoucherExpired, pledge.ErrUntrusted)
	d.checkNothingTrusted()

	w = brskitest.New(t)
	w.MASA.Change(nonceless(time.Now().Add(time.Hour)))
	d = newDevice(t, w, func(c *pledge.Config) { c.RefuseNonceless = true })
	d.onboardFails(pledge.ReasonVoucherNonceless, pledge.ErrUntrusted)
	d.checkVoucherTold(pledge.ReasonVoucherNonceless)
}

// BRSKI-8995-7.2-02: there is no trust on first use: no setting makes up for a manufacturer that signed nothing.
func TestNoSettingTrustsOnFirstUse(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.config.Anchors = nil
	if _, err := pledge.New(d.config); err == nil {
		t.Errorf("New took a configuration without voucher anchors")
	}
	d.config.Anchors = x509.NewCertPool() // trusts nobody, and nobody means nobody
	d.onboardFails(pledge.ReasonVoucherSigner, pledge.ErrUntrusted)
	fields := reflect.TypeFor[pledge.Config]()
	for i := range fields.NumField() {
		if fields.Field(i).Type.Kind() != reflect.Bool {
			continue
		}
		t.Run(fields.Field(i).Name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			reflect.ValueOf(&d.config).Elem().Field(i).SetBool(true)
			f := right(t, w, d)
			f.signer = w.Identity // the registrar vouches for itself
			f.answer(w)
			d.onboardFails(pledge.ReasonVoucherSigner, pledge.ErrUntrusted)
			answerVoucher(w, send(vouchercms.MediaType, nil))
			d = newDevice(t, w)
			reflect.ValueOf(&d.config).Elem().Field(i).SetBool(true)
			d.onboardFails(pledge.ReasonVoucherEmpty, pledge.ErrUntrusted)
			d.checkNothingTrusted()
		})
	}
}

// RFC 8995, Section 2.6.1: what a device without a clock knows of the time afterwards.
func TestVoucherGivesALowerBoundOfTheTime(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) {
		c.NoClock, c.Now = true, func() time.Time { return time.Unix(60, 0) }
	})
	if got := d.status().NotEarlier; !got.IsZero() {
		t.Errorf("NotEarlier of a fresh device = %v, want none", got)
	}
	f := right(t, w, d)
	f.signingTime = time.Now().Add(time.Minute).UTC().Truncate(time.Second)
	f.answer(w)
	w.Registrar.RefuseEnroll(context.Canceled)
	if _, err := d.pledge().Onboard(t.Context()); errors.Is(err, pledge.ErrUntrusted) || err == nil {
		t.Fatalf("Onboard = %v, want a failure to enroll", err)
	}
	if got := d.status().NotEarlier; !got.Equal(f.signingTime) {
		t.Errorf("NotEarlier = %v, want when the voucher was signed, %v", got, f.signingTime)
	}
}
