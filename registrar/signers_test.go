package registrar_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// A voucher's signer that was verified before is taken only at the same
// manufacturer, with the same certificates, under the same settings, and while
// the whole chain is valid.
func TestAVerifiedSignerOfVouchersCountsOnlyWhereNothingDiffers(t *testing.T) {
	refused := func(t *testing.T, a *ask) { t.Helper(); a.refusedAs(registrar.ReasonVoucherSigner, 502) }
	for what, then := range map[string]func(t *testing.T, h *house, a, strange *ask){
		"all is the same": func(t *testing.T, _ *house, a, _ *ask) {
			if _, err := a.send(); err != nil {
				t.Errorf("the second voucher: %v", err)
			}
		},
		"another manufacturer": func(t *testing.T, _ *house, _, strange *ask) { refused(t, strange) },
		"no intermediate CA": func(t *testing.T, h *house, a, _ *ask) {
			h.masa.set(func(m *fakeMASA) { m.chain = nil })
			refused(t, a)
		},
		"other settings": func(t *testing.T, h *house, a, _ *ask) {
			h.settings.Manufacturers["acme"].VoucherAnchors = testpki.NewRoot(t, "new root").Pool()
			if err := h.service.Reload(h.settings); err != nil {
				t.Fatal(err)
			}
			refused(t, a)
		},
		"the intermediate CA has expired": func(t *testing.T, h *house, a, _ *ask) {
			h.advance(2 * time.Hour)
			refused(t, a)
		},
		"the signer is not valid yet": func(t *testing.T, h *house, a, _ *ask) {
			h.advance(-30 * time.Minute)
			refused(t, a)
		},
	} {
		t.Run(what, func(t *testing.T) {
			other := testpki.NewRoot(t, "other vendor root")
			h := newHouse(t, func(h *house) {
				h.settings.Manufacturers["other"] = &registrar.Manufacturer{
					IDevIDAnchors: other.Pool(), VoucherAnchors: testpki.NewRoot(t, "other voucher root").Pool(),
					MASAURL: "https://masa.example/.well-known/brski",
				}
				ca := h.vouchers.Issue(t, &x509.Certificate{
					Subject: pkix.Name{CommonName: "voucher CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
					NotBefore: h.now().Add(-time.Hour), NotAfter: h.now().Add(time.Hour),
				}, testpki.NewKey(t))
				h.masa.signer = ca.Issue(t, &x509.Certificate{
					Subject: pkix.Name{CommonName: "vouchers"}, NotBefore: h.now().Add(-time.Minute),
				}, testpki.NewKey(t))
				h.masa.chain = []*x509.Certificate{ca.Certificate}
			})
			h.importSerials("SN-1", "SN-2")
			h.importOf("other", "SN-3")
			pledge := func(ca *testpki.Identity, serial string) *ask { return h.pledge(ca.IDevID(t, serial, ""), nil) }
			first, second, strange := pledge(h.idevidCA, "SN-1"), pledge(h.idevidCA, "SN-2"), pledge(other, "SN-3")
			if _, err := first.send(); err != nil {
				t.Fatalf("the first voucher: %v", err)
			}
			then(t, h, second, strange)
		})
	}
}
