package registrar_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// device issues an IDevID by a template of its own.
func (h *house) device(t *testing.T, change func(c *x509.Certificate)) *testpki.Identity {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{SerialNumber: "SN-1"}}
	change(template)
	return h.idevidCA.Issue(t, template, testpki.NewKey(t))
}

// What a manufacturer's certificates may be like is loosened by name only.
// BRSKI-8995-5-06: one without serialNumber is refused.
func TestAnIDevIDIsVerifiedAsItsManufacturersRulesSay(t *testing.T) {
	for _, c := range []struct {
		what   string
		cert   func(c *x509.Certificate)
		allow  func(m *registrar.Manufacturer)
		reason string
	}{
		{
			"expired (RFC 8995, Section 2.6.2)", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
			func(m *registrar.Manufacturer) { m.AllowExpiredIDevID = true }, registrar.ReasonExpired,
		},
		{
			"not for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
			func(m *registrar.Manufacturer) { m.AllowAnyKeyUsage = true }, registrar.ReasonUnknownManufacturer,
		},
		{
			"without a serial number (RFC 8995, Section 2.3.1)", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "SN-1"} },
			nil, registrar.ReasonNoSerialNumber,
		},
	} {
		for _, allowed := range []bool{false, true} {
			if c.allow == nil && allowed {
				continue
			}
			h := newHouse(t, func(h *house) {
				if allowed {
					c.allow(h.settings.Manufacturers["acme"])
				}
			})
			h.importSerials("SN-1")
			id := h.device(t, c.cert)
			_, err := h.pledgeAs(id, "SN-1").send()
			var e *est.Error
			if allowed && err != nil || !allowed && (!errors.As(err, &e) || e.Reason != c.reason || e.Status != 403) {
				t.Errorf("%s, allowed %t: %v", c.what, allowed, err)
			}
		}
	}
}

// RFC 8995, Section 2.5.3: the anchors of one role count for no other.
func TestAnchorsOfOneRoleAreNoneOfAnother(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.pledgeAs(h.vouchers.IDevID(t, "SN-1", ""), "SN-1").refusedAs(registrar.ReasonUnknownManufacturer, 403)
	h.enroll("a").cert(h.registrar.Certificate).refusedAs(registrar.ReasonNotOnRecord, 403) // of our CA, and not on record
}

// A manufacturer that is taken out of the settings is a stranger at once,
// whatever was verified before.
func TestAReloadForgetsWhatWasVerifiedUnderOtherSettings(t *testing.T) {
	h := newHouse(t, nil)
	idevid := h.vouched("SN-1")
	s := *h.settings
	s.Manufacturers = nil
	check(t, h.service.Reload(&s))
	h.pledge(idevid, nil).refusedAs(registrar.ReasonUnknownManufacturer, 403)
	h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-1"}).refusedAs(registrar.ReasonNoCredentials, 401)
}

func TestAVerifiedChainIsNoLongerOneAfterItsEnd(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	id := h.device(t, func(c *x509.Certificate) { c.NotAfter = h.now().Add(time.Hour) })
	if _, err := h.pledgeAs(id, "SN-1").send(); err != nil {
		t.Fatal(err)
	}
	h.advance(2 * time.Hour)
	h.pledgeAs(id, "SN-1").refusedAs(registrar.ReasonExpired, 403)
}
