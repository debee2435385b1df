package brski_test

import (
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
)

// BRSKI-CBRSKI-12.3-01: COSE over HTTPS. A request without certificates is the connection's, or nobody's.
func TestARequestInCOSEWithoutCertificatesIsTheConnections(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	b := &backend{voucher: &brski.Voucher{MediaType: vouchercose.MediaType, Raw: []byte("voucher")}}
	url := brskitest.Serve(t, root.Server(t, "registrar"), &brski.RegistrarHandler{Backend: b, Formats: []voucher.Format{other{}, vouchercose.Format{}}})
	device, thief := root.IDevID(t, "SN-1", ""), root.IDevID(t, "SN-2", "")
	bare, full := vouchercose.Format{Bare: true}, vouchercose.Format{}
	for _, c := range []struct {
		name   string
		format voucher.Format
		by     *testpki.Identity
		change bool
		status int
	}{
		{"bare", bare, device, false, 200},
		{"with certificates", full, device, false, 200},
		{"another's, bare", bare, thief, false, 403},
		{"another's, with certificates", full, thief, false, 403},
		{"signature changed", bare, device, true, 403},
	} {
		raw, err := c.format.SignRequest(t.Context(), &voucher.Request{SerialNumber: "SN-1", Nonce: voucher.NewNonce()},
			&voucher.Signer{Key: c.by.Key, Certificate: c.by.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		if c.change {
			raw[len(raw)-1] ^= 1
		}
		got := send(t, clientOf(t, root, device), "POST", url+requestVoucher, raw, "Content-Type: "+vouchercose.MediaType, "Accept: "+vouchercose.MediaType)
		if got.status != c.status || c.status == 200 && got.header.Get("Content-Type") != vouchercose.MediaType {
			t.Errorf("%s: status %d of type %q, want %d: %s", c.name, got.status, got.header.Get("Content-Type"), c.status, got.body)
		}
	}
}
