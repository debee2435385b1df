package registrar_test

import (
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// The table of pins: what a manufacturer's setting takes of what vouchers pin.
// MASAs in the field pin the registrar's own certificate (highway) as well as the CA's.
func TestAVoucherPinsWhatTheManufacturersSettingNames(t *testing.T) {
	sum := func(cert *x509.Certificate) []byte {
		s := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		return s[:]
	}
	for _, c := range []struct {
		what string
		pin  func(h *house, v *voucher.Voucher)
		ok   []registrar.PinRule
	}{
		{"the root", func(h *house, v *voucher.Voucher) { v.PinnedDomainCert = h.root.Certificate.Raw }, []registrar.PinRule{registrar.PinAny, registrar.PinCA}},
		{"the issuing CA", func(h *house, v *voucher.Voucher) { v.PinnedDomainCert = h.ca.Certificate.Raw }, []registrar.PinRule{registrar.PinAny, registrar.PinCA}},
		{"the CA's key", func(h *house, v *voucher.Voucher) {
			v.PinnedDomainCert, v.PinnedDomainPubkSHA256 = nil, sum(h.ca.Certificate)
		}, []registrar.PinRule{registrar.PinAny, registrar.PinCA}},
		{"the registrar", func(h *house, v *voucher.Voucher) { v.PinnedDomainCert = h.registrar.Certificate.Raw }, []registrar.PinRule{registrar.PinAny, registrar.PinRegistrar}},
		{"the registrar's key", func(h *house, v *voucher.Voucher) {
			v.PinnedDomainCert, v.PinnedDomainPubk = nil, h.registrar.Certificate.RawSubjectPublicKeyInfo
		}, []registrar.PinRule{registrar.PinAny, registrar.PinRegistrar}},
		{"the root and the registrar's key", func(h *house, v *voucher.Voucher) {
			v.PinnedDomainCert, v.PinnedDomainPubk = h.root.Certificate.Raw, h.registrar.Certificate.RawSubjectPublicKeyInfo
		}, []registrar.PinRule{registrar.PinAny}},
		{"the root and another's key", func(h *house, v *voucher.Voucher) {
			v.PinnedDomainCert, v.PinnedDomainPubk = h.root.Certificate.Raw, h.vendor.Certificate.RawSubjectPublicKeyInfo
		}, nil},
		{"the vendor", func(h *house, v *voucher.Voucher) { v.PinnedDomainCert = h.vendor.Certificate.Raw }, nil},
	} {
		for _, rule := range []registrar.PinRule{registrar.PinAny, registrar.PinCA, registrar.PinRegistrar} {
			h := newHouse(t, func(h *house) {
				h.settings.Manufacturers["acme"].Pin = rule
				h.settings.Manufacturers["acme"].AuditLog.UnknownDomain = registrar.AuditAllow
			})
			h.importSerials("SN-1")
			h.masa.set(func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { c.pin(h, v) } })
			a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
			good := false
			for _, r := range c.ok {
				good = good || r == rule
			}
			if !good {
				a.refusedAs(registrar.ReasonVoucherPin, 502)
			} else if _, err := a.send(); err != nil {
				t.Errorf("%s with pin %q: %v", c.what, rule, err)
			}
		}
	}
}

// BRSKI-8995-5.5-03: the registrar sends what it wants pinned, and nothing else that
// a MASA could pin.
func TestWhatIsToBePinnedTravelsWithTheRegistrarsRequest(t *testing.T) {
	for rule, want := range map[registrar.PinRule]int{registrar.PinAny: 3, registrar.PinCA: 3, registrar.PinRegistrar: 1} {
		h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].Pin = rule })
		h.importSerials("SN-1")
		h.masa.set(func(m *fakeMASA) {
			m.change = func(v *voucher.Voucher) {
				if rule == registrar.PinRegistrar {
					v.PinnedDomainCert = h.registrar.Certificate.Raw
				}
			}
		})
		if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).send(); err != nil {
			t.Fatalf("pin %q: %v", rule, err)
		}
		_, artifact, err := vouchercms.Format{}.OpenRequest(h.masa.requests[0])
		if err != nil {
			t.Fatal(err)
		}
		ours := 0
		for _, cert := range artifact.Certificates {
			if cert.Equal(h.registrar.Certificate) || cert.Equal(h.ca.Certificate) || cert.Equal(h.root.Certificate) {
				ours++
			}
		}
		if ours != want {
			t.Errorf("pin %q: %d of our certificates are in the request, want %d", rule, ours, want)
		}
	}
}

// BRSKI-8995-5.6.2-03: when the certificate that devices see no longer chains to what
// is pinned, no voucher is handed out, one on record neither.
func TestNoVoucherIsHandedOutThatTheServersCertificateDoesNotChainTo(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].AllowNoProximity = true })
	h.importSerials("SN-1", "SN-2", "SN-3")
	without := func(q *voucher.Request) { q.Assertion, q.ProximityRegistrarCert = voucher.Logged, nil }
	waiting := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	blind := h.pledge(h.idevidCA.IDevID(t, "SN-2", ""), without)
	h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
	waiting.refusedAs(registrar.ReasonMASA, 202)
	h.masa.set(func(m *fakeMASA) { m.fail = nil })
	if _, err := blind.send(); err != nil {
		t.Fatal(err)
	}
	// The server's certificate is another CA's from now on.
	rotated := h.vendor.Registrar(t, "another CA's")
	h.settings.TLSCertificates = []*x509.Certificate{rotated.Certificate}
	if err := h.service.Reload(h.settings); err != nil {
		t.Fatal(err)
	}
	waiting.refusedAs(registrar.ReasonProximity, 401)                                                                                    // it names the one of before
	blind.refusedAs(registrar.ReasonVoucherPin, 502)                                                                                     // it names none
	again := h.pledge(h.idevidCA.IDevID(t, "SN-3", ""), func(q *voucher.Request) { q.ProximityRegistrarCert = rotated.Certificate.Raw }) // it names the new one
	again.refusedAs(registrar.ReasonVoucherPin, 502)
	refused := h.entries(registrar.KindVoucherRefused)
	if len(refused) == 0 || !strings.Contains(string(refused[len(refused)-1].Body), "does not chain") {
		t.Errorf("the trail does not say why: %+v", refused)
	}
}
