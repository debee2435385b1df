package masa_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// BRSKI-8366BIS-10.1-01: the MASA reads the old voucher in that leaf.
func TestAVoucherIsRenewedByItselfInARequest(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	_, first := w.voucher(a.bytes(t))
	w.at = w.at.Add(20 * time.Hour)
	a.registrar.CreatedOn, a.registrar.PriorSignedVoucherRequest = w.at, first
	v, renewed := w.voucher(a.bytes(t))
	if bytes.Equal(first, renewed) || !v.ExpiresOn.Equal(w.at.Add(24*time.Hour)) {
		t.Errorf("expires-on %s, want a new voucher that is good for a day more", v.ExpiresOn)
	}
	forged := func(by *testpki.Identity, change func(*voucher.Voucher)) []byte {
		old, _, err := vouchercms.Format{}.OpenVoucher(first)
		if err != nil {
			t.Fatal(err)
		}
		change(old)
		raw, err := vouchercms.Format{}.SignVoucher(t.Context(), old, &voucher.Signer{Key: by.Key, Certificate: by.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for what, c := range map[string]struct {
		prior  []byte
		reason string
	}{
		"another device's": {forged(w.signer, func(v *voucher.Voucher) { v.SerialNumber = "other" }), masa.ReasonSerialMismatch},
		"one with a nonce": {forged(w.signer, func(v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "0123456789abcdef", time.Time{} }), masa.ReasonNonceMismatch},
		"a stranger's":     {forged(w.vendor, func(*voucher.Voucher) {}), masa.ReasonPriorSigned},
	} {
		t.Run(what, func(t *testing.T) {
			a.registrar.PriorSignedVoucherRequest = c.prior
			w.refused(a.bytes(t), 403, c.reason)
		})
	}
	// In a request with a nonce it is no request of the pledge.
	b := w.ask(w.mine, "0123456789abcdef")
	b.registrar.PriorSignedVoucherRequest = first
	got, err := w.service.RequestVoucher(t.Context(), w.request(b.bytes(t)))
	if err == nil {
		t.Errorf("a voucher in place of the pledge's request gave %v", got)
	}
}

// R9 (renewal is a decision) and BRSKI-8366BIS-10.1-02: a voucher is renewed
// for the domain that it was issued to, again and again, while that is the
// owner and until the day it names.
func TestRenewalIsForTheSameDomainWhileItOwnsTheDevice(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless, p.RenewableFor = true, 72*time.Hour })
	w.own(w.mine)
	last := w.at.Add(72 * time.Hour)
	a := w.ask(w.mine, "")
	a.idevid = nil
	v, raw := w.voucher(a.bytes(t))
	for range 3 { // no operator is asked
		if !v.LastRenewalDate.Equal(last) || v.ExpiresOn.IsZero() {
			t.Errorf("last-renewal-date %s beside expires-on %s, want %s", v.LastRenewalDate, v.ExpiresOn, last)
		}
		w.at = w.at.Add(20 * time.Hour)
		a.registrar.CreatedOn, a.registrar.PriorSignedVoucherRequest = w.at, raw
		v, raw = w.voucher(a.bytes(t))
	}
	stranger := w.ask(w.theirs, "")
	stranger.idevid, stranger.registrar.PriorSignedVoucherRequest = nil, raw
	w.refused(stranger.bytes(t), 403, masa.ReasonNotOwner)

	w.at = last.Add(time.Second)
	a.registrar.CreatedOn, a.registrar.PriorSignedVoucherRequest = w.at, raw
	w.refused(a.bytes(t), 403, masa.ReasonNotRenewable)
	a.registrar.PriorSignedVoucherRequest = nil // as late without the old voucher
	w.refused(a.bytes(t), 403, masa.ReasonNotRenewable)

	w.at = last.Add(-time.Hour)
	sold := &masa.OwnerClaim{DeviceRef: ref(), DomainRef: domainRef(w.theirs), Replace: true}
	if _, err := w.service.AddOwner(t.Context(), sold); err != nil {
		t.Fatal(err)
	}
	a.registrar.CreatedOn, a.registrar.PriorSignedVoucherRequest = w.at, raw
	w.refused(a.bytes(t), 403, masa.ReasonNotOwner)
	// The new owner does not renew the old one's.
	w.refused(stranger.bytes(t), 403, masa.ReasonNotRenewable)
	stranger.registrar.PriorSignedVoucherRequest = nil
	if v, _ := w.voucher(stranger.bytes(t)); !v.LastRenewalDate.Equal(w.at.Add(72 * time.Hour)) {
		t.Errorf("last-renewal-date of the new owner's = %s, want 72 hours from the sale", v.LastRenewalDate)
	}
}

// RFC 8995, Section 11.6.2.2: a lost key renews nothing.
func TestVoucherOfARevokedKeyIsNotRenewed(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	_, raw := w.voucher(a.bytes(t))
	next := testpki.NewRoot(t, "next vouchers")
	w.setProduct(func(p *masa.Product) {
		p.RevokedSigners = []*x509.Certificate{p.Signer.Certificate}
		p.Signer, p.NoncelessSigner = signerOf(next), nil
	})
	a.registrar.PriorSignedVoucherRequest = raw
	w.refused(a.bytes(t), 403, masa.ReasonSignerRevoked)
}

func TestACarriedRequestIsDecidedLikeAnyOther(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	a := w.ask(w.mine, "")
	a.idevid = nil
	carried := &masa.CarriedRequest{MediaType: vouchercms.MediaType, Raw: a.bytes(t), By: "cli:me"}
	got, err := w.service.AnswerCarried(t.Context(), carried)
	wantRefusal(t, got != nil, err, 403, masa.ReasonNonceless)
	w.own(w.mine)
	got, err = w.service.AnswerCarried(t.Context(), carried)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.service.AnswerCarried(t.Context(), carried)
	if err != nil || !bytes.Equal(again.Voucher, got.Voucher) {
		t.Errorf("brought twice: %v", err)
	}
	v, _, err := vouchercms.Format{}.OpenVoucher(got.Voucher)
	if err != nil || v.Nonce != "" || v.ExpiresOn.IsZero() || !bytes.Contains(got.AuditLog, []byte(`"nonce":null`)) {
		t.Errorf("voucher = %+v, %v; audit-log %s", v, err, got.AuditLog)
	}
	if n := len(w.trail(masa.KindRequestCarried)); n != 3 {
		t.Errorf("%d entries about who brought it, want 3", n)
	}
}
