package systemtest_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher/vouchercms"
)

func at1970() time.Time { return time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC) }

// handsOut is a registrar's port that answers whatever it is asked with a voucher.
func handsOut(w *systemtest.World, d *systemtest.Domain, raw []byte) string {
	return w.Serve(d.Registrar, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		_, _ = rw.Write(raw)
	}))
}

// R27; RFC 8995, Section 2.6.1: a device without a clock joins, knows a lower
// bound of the time afterwards, and takes no old voucher.
func TestADeviceWithoutAClockJoinsAndTakesNoOldVoucher(t *testing.T) {
	w := systemtest.New(t)
	d := w.Domain("A")
	device := w.Vendor.Build("SN-1")
	device.Config.NoClock, device.Config.Now = true, at1970
	if err := device.Onboard(d.URL); err != nil {
		t.Fatal(err)
	}
	status, err := device.Pledge().Status()
	if err != nil || status.NotEarlier.Before(w.Now()) {
		t.Errorf("NotEarlier = %s, %v; want the time of the voucher, %s", status.NotEarlier, err, w.Now())
	}
	old, err := device.Load(pledge.FileVoucher)
	if err != nil {
		t.Fatal(err)
	}
	w.Advance(365 * 24 * time.Hour)
	device.Reset()
	if reason := systemtest.Reason(device.Onboard(handsOut(w, d, old))); reason != pledge.ReasonVoucherNonce {
		t.Errorf("last year's voucher: %q, want %s", reason, pledge.ReasonVoucherNonce)
	}
}

// R27: a device that believes a wrong clock is not let down silently: it says
// why, and the registrar has it on record (RFC 8995, Section 5.7).
func TestADeviceWithAWrongClockIsRefusedWithTheReasonOnRecord(t *testing.T) {
	w := systemtest.New(t)
	d := w.Domain("A")
	for serial, c := range map[string]struct {
		now    func() time.Time
		reason string
	}{
		"SN-1970": {at1970, pledge.ReasonVoucherSigner},
		"SN-slow": {func() time.Time { return w.Now().Add(-30 * time.Minute) }, pledge.ReasonVoucherFuture},
	} {
		device := w.Vendor.Build(serial)
		device.Config.Now = c.now
		if reason := systemtest.Reason(device.Onboard(d.URL)); reason != c.reason {
			t.Errorf("%s: %q, want %s", serial, reason, c.reason)
		}
		if view := d.Device(device); view == nil || !bytes.Contains(view.Vouchers[0].PledgeStatus, []byte(c.reason)) {
			t.Errorf("%s: the registrar has not %s on record", serial, c.reason)
		}
		device.Config.Now = w.Now // somebody sets it
		if err := device.Onboard(d.URL); err != nil {
			t.Errorf("%s with the right time: %v", serial, err)
		}
	}
}

// newNonceless is a vendor whose vouchers without a nonce last an hour, with one
// of its owner's registrars that has one at hand, and a MASA out of reach.
func newNonceless(t *testing.T) (*systemtest.World, *systemtest.Domain, *systemtest.Device) {
	t.Helper()
	w := systemtest.New(t, systemtest.ChangeProduct(func(p *masa.Product) { p.AllowNonceless, p.NoncelessLifetime = true, time.Hour }))
	d := w.Domain("A", func(_ *systemtest.Domain, m *registrar.Manufacturer) { m.AllowNonceless = true })
	device := w.Vendor.Build("SN-1")
	w.Vendor.Sell(device, d)
	fetch(t, w, d, device)
	return w, d, device
}

// fetch has the registrar ask for a voucher ahead while the MASA can be reached.
func fetch(t *testing.T, w *systemtest.World, d *systemtest.Domain, device *systemtest.Device) *registrar.AheadVoucher {
	t.Helper()
	w.Vendor.Instead(nil)
	order := &registrar.VoucherOrder{Actor: "test", IDevID: [][]byte{device.IDevID.Certificate.Raw, w.Vendor.Devices.Certificate.Raw}}
	row, err := d.Service.FetchVoucher(t.Context(), order)
	if err != nil || row.State != registrar.AheadReady {
		t.Fatalf("FetchVoucher = %+v, %v", row, err)
	}
	w.Vendor.Instead(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "down", http.StatusServiceUnavailable) })
	})
	return row
}

// R27; RFC 8995, Sections 5.5 and 7.2: a voucher without a nonce is good until it
// ends, and no longer: neither the registrar hands it out, nor does the device take it.
func TestAVoucherWithoutANonceIsOfNoUseAfterItsEnd(t *testing.T) {
	w, d, device := newNonceless(t)
	if err := device.Onboard(d.URL); err != nil {
		t.Fatalf("in time: %v", err)
	}
	old, err := device.Load(pledge.FileVoucher)
	if err != nil || device.Voucher().Nonce != "" {
		t.Fatalf("voucher = %+v, %v; want the one without a nonce", device.Voucher(), err)
	}
	w.Advance(time.Hour + time.Second)
	device.Reset()
	if reason := systemtest.Reason(device.Onboard(d.URL)); reason != pledge.ReasonPending {
		t.Errorf("at the registrar an hour later: %q, want %s", reason, pledge.ReasonPending)
	}
	device.Reset()
	if reason := systemtest.Reason(device.Onboard(handsOut(w, d, old))); reason != pledge.ReasonVoucherExpired {
		t.Errorf("handed out all the same: %q, want %s", reason, pledge.ReasonVoucherExpired)
	}
	// Without a clock there is no telling, and who minds refuses them all.
	device.Config.NoClock, device.Config.Now, device.Config.RefuseNonceless = true, at1970, true
	if reason := systemtest.Reason(device.Onboard(handsOut(w, d, old))); reason != pledge.ReasonVoucherNonceless {
		t.Errorf("to a device that takes none without a nonce: %q, want %s", reason, pledge.ReasonVoucherNonceless)
	}
	if n := len(d.Certificates()); n != 1 {
		t.Errorf("%d certificates were issued, want the one in time", n)
	}
}

// R27, R9: a voucher without a nonce is renewed for its owner, and for nobody
// after the device was sold on (RFC 8366, Section 5.3).
func TestAVoucherThatIsRenewedLastsUntilTheSale(t *testing.T) {
	w, d, device := newNonceless(t)
	w.Advance(50 * time.Minute)
	row := fetch(t, w, d, device)
	if row.Renews == "" || !row.ExpiresOn.After(w.Now().Add(50*time.Minute)) {
		t.Errorf("the renewal = %+v, want one of the first that ends an hour from now", row)
	}
	w.Advance(30 * time.Minute) // the first one has ended
	if err := device.Onboard(d.URL); err != nil {
		t.Errorf("with the renewed voucher: %v", err)
	}
	w.Vendor.Sell(device, w.Domain("B"))
	w.Vendor.Instead(nil)
	if row, err := d.Service.FetchVoucher(t.Context(), &registrar.VoucherOrder{Actor: "test", Device: device.Serial}); err == nil {
		t.Errorf("after the sale the former owner's voucher is renewed: %+v", row)
	}
	if got := w.Vendor.Refusals(); !slices.Equal(got, []string{masa.ReasonNotOwner}) {
		t.Errorf("the MASA has %q on record, want one %s", got, masa.ReasonNotOwner)
	}
}

// R27; RFC 8995, Section 5.6: a MASA that takes the connection and says nothing
// for an hour costs the device an hour, not the registrar its truthfulness.
func TestAMASAThatIsSilentForAnHourIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := systemtest.NewInMemory(t)
		d := w.Domain("A")
		device := w.Vendor.Build("SN-1")
		device.Config.NoWait, device.Config.Wait = false, nil
		w.Vendor.Instead(func(http.Handler) http.Handler {
			return http.HandlerFunc(systemtest.Silent)
		})
		began := time.Now()
		if reason := systemtest.Reason(device.Onboard(d.URL)); reason != pledge.ReasonRegistrarFailed {
			t.Errorf("the device: %q, want %s", reason, pledge.ReasonRegistrarFailed)
		}
		if took := time.Since(began); took < time.Hour || took > 65*time.Minute {
			t.Errorf("it took %s, want an hour", took)
		}
		view := d.Device(device)
		if len(d.Certificates()) != 0 || view == nil || view.Vouchers[0].Reason != registrar.ReasonMASAGaveUp {
			t.Errorf("on record is %+v, want %s and no certificate", view, registrar.ReasonMASAGaveUp)
		}
		w.Vendor.Instead(nil)
		if err := device.Onboard(d.URL); err != nil {
			t.Errorf("the MASA speaks again: %v", err)
		}
		if got := d.Refusals(); !slices.Equal(got, []string{registrar.ReasonMASAGaveUp}) {
			t.Errorf("the registrar has %q on record, want one %s", got, registrar.ReasonMASAGaveUp)
		}
	})
}
