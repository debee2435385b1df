package masa_test

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
)

// BRSKI-CBRSKI-7.1-02 (COSE over HTTPS) and BRSKI-CBRSKI-9.2-02: a pledge's request without certificates is
// opened with those in the registrar's, and the voucher is in COSE.
func TestAVoucherInCOSEIsIssuedForAPledgesRequestWithoutCertificates(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.Formats = append(s.Formats, vouchercose.Format{}) })
	ask := w.ask(w.mine, "AAECAwQFBgc=")
	seal := func(f vouchercose.Format, r *voucher.Request, by *testpki.Identity, chain []*x509.Certificate) []byte {
		t.Helper()
		raw, err := f.SignRequest(t.Context(), r, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: chain})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	ask.registrar.PriorSignedVoucherRequest = seal(vouchercose.Format{Bare: true}, ask.pledge, ask.idevid, nil)
	send := func(chain []*x509.Certificate) (*brski.Voucher, error) {
		r := w.request(seal(vouchercose.Format{}, ask.registrar, ask.signer, chain))
		r.MediaType, r.Accept = vouchercose.MediaType, []string{vouchercose.MediaType}
		return w.service.RequestVoucher(t.Context(), r)
	}
	if got, err := send(ask.chain); err == nil {
		t.Errorf("RequestVoucher(without the pledge's certificate) = %+v, want an error", got)
	}
	got, err := send(slices.Concat(ask.chain, []*x509.Certificate{ask.idevid.Certificate}, ask.idevid.Chain))
	if err != nil || got.MediaType != vouchercose.MediaType {
		t.Fatalf("RequestVoucher() = %+v, %v", got, err)
	}
	v, a, err := vouchercose.Format{}.OpenVoucher(got.Raw)
	if err != nil || v.Nonce != "AAECAwQFBgc=" || v.Assertion != voucher.Proximity || !a.Signer.Equal(w.signer.Certificate) {
		t.Errorf("OpenVoucher() = %+v, %v", v, err)
	}
}
