package pledge_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// A registrar that hands out other CA certificates than those of the domain
// that the voucher named gets no CSR, whatever it calls them.
func TestCAThatIsSwappedAfterTheVoucherIsNotTaken(t *testing.T) {
	for _, leaf := range pinLeaves[:2] {
		for name, cas := range map[string]func(*brskitest.World) []*x509.Certificate{
			"another root": func(*brskitest.World) []*x509.Certificate {
				return []*x509.Certificate{testpki.NewRoot(t, "evil").Certificate}
			},
			"another root of the same name": func(w *brskitest.World) []*x509.Certificate {
				return []*x509.Certificate{testpki.NewRoot(t, w.Domain.Certificate.Subject.CommonName).Certificate}
			},
			"the manufacturer's": func(w *brskitest.World) []*x509.Certificate { return []*x509.Certificate{w.Vendor.Certificate} },
			"another issuing CA with its root": func(w *brskitest.World) []*x509.Certificate {
				evil := testpki.NewRoot(t, w.Domain.Certificate.Subject.CommonName)
				return []*x509.Certificate{evil.NewIntermediate(t, w.Issuing.Certificate.Subject.CommonName).Certificate, evil.Certificate}
			},
		} {
			t.Run(leaf+", "+name, func(t *testing.T) {
				w := brskitest.New(t)
				w.MASA.Change(func(v *voucher.Voucher) { setPin(v, leaf, w.Domain.Certificate) })
				w.Registrar.SetCACerts(cas(w))
				d := newDevice(t, w)
				d.onboardFails(pledge.ReasonCACerts, pledge.ErrUntrusted)
				if n := len(w.Registrar.Enrollments()); n != 0 {
					t.Errorf("%d CSRs were sent", n)
				}
				if _, err := d.memory.Load(pledge.FileCACerts); err == nil {
					t.Errorf("%s was stored", pledge.FileCACerts)
				}
				s := w.Registrar.EnrollStatuses()
				if len(s) != 1 || s[0].Status.Status || s[0].Status.Reason != pledge.ReasonCACerts {
					t.Errorf("enrollstatus = %+v, want one with false and reason %q", s, pledge.ReasonCACerts)
				}
				w.Registrar.SetCACerts(nil)
				d.onboard()
			})
		}
	}
}

// A domain names its CAs in several ways that go with a pinned CA.
func TestCACertificatesThatGoWithThePinAreTaken(t *testing.T) {
	for name, c := range map[string]struct {
		pin func(*brskitest.World) *x509.Certificate
		cas func(*brskitest.World) []*x509.Certificate
	}{
		"the pinned root alone": {
			func(w *brskitest.World) *x509.Certificate { return w.Domain.Certificate },
			func(w *brskitest.World) []*x509.Certificate {
				return []*x509.Certificate{w.Issuing.Certificate, w.Domain.Certificate}
			},
		},
		"what follows from the pinned root": {
			func(w *brskitest.World) *x509.Certificate { return w.Domain.Certificate },
			func(w *brskitest.World) []*x509.Certificate { return []*x509.Certificate{w.Issuing.Certificate} },
		},
		"the root above the pinned CA": {
			func(w *brskitest.World) *x509.Certificate { return w.Issuing.Certificate },
			func(w *brskitest.World) []*x509.Certificate {
				return []*x509.Certificate{w.Issuing.Certificate, w.Domain.Certificate}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			w.MASA.Change(func(v *voucher.Voucher) { setPin(v, "pinned-domain-cert", c.pin(w)) })
			w.Registrar.SetCACerts(c.cas(w))
			newDevice(t, w).onboard()
		})
	}
}

// R27: a voucher that this device has had before is played again, to a device
// that was reset, with a clock and without.
func TestOldVoucherPlayedAgainIsRefused(t *testing.T) {
	for name, noClock := range map[string]bool{"with a clock": false, "without a clock": true} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w, func(c *pledge.Config) { c.NoClock = noClock })
			d.onboard()
			old := bytes.Clone(d.file(pledge.FileVoucher))
			if err := d.pledge().Reset(); err != nil {
				t.Fatalf("Reset: %v", err)
			}
			answerVoucher(w, send(vouchercms.MediaType, old))
			d.onboardFails(pledge.ReasonVoucherNonce, pledge.ErrUntrusted)
			if s := d.status(); s.Stage == pledge.Imprinted || s.Pinned != nil {
				t.Errorf("Status = stage %q, pinned %v, want nothing learned", s.Stage, s.Pinned)
			}
		})
	}
}

// R27: a voucher for another device of the same vendor, and one that pins
// another domain, are of no use to a registrar that got hold of them.
func TestVoucherOfAnotherDeviceOrDomainIsOfNoUse(t *testing.T) {
	w := brskitest.New(t)
	other := newDevice(t, w)
	other.idevid = w.IDevID(t, "JADA000000002")
	other.config.IDevID = other.idevid.TLS()
	w.MASA.Change(func(v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "", time.Now().Add(time.Hour) })
	other.onboard()
	stolen := other.file(pledge.FileVoucher)
	answerVoucher(w, send(vouchercms.MediaType, stolen))
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonVoucherSerial, pledge.ErrUntrusted)

	// The right device, a voucher without a nonce, but at a registrar of another domain.
	thief := w.AnotherDomain(t, "Thief")
	answerVoucher(thief, send(vouchercms.MediaType, stolen))
	victim := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL = thief.URL })
	victim.config.IDevID = other.config.IDevID
	victim.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
	if n := len(thief.Registrar.Enrollments()); n != 0 {
		t.Errorf("the thief got %d CSRs", n)
	}
}

// RFC 8995, Section 5.6.2: a registrar that has the voucher pin the certificate
// of another registrar than the one of its TLS connection gains nothing: what it
// serves under its own certificate is not believed.
func TestRegistrarThatImprintsWithAnotherCertificateIsNotTrusted(t *testing.T) {
	for _, leaf := range pinLeaves {
		w := brskitest.New(t)
		w.Registrar.TakeAnyProximity()
		honest := w.Identity.Certificate
		w.MASA.Change(func(v *voucher.Voucher) { setPin(v, leaf, honest) })
		served := w.Issuing.Registrar(t, "registrar") // of the same domain, even
		d := newDevice(t, w)
		d.config.RegistrarURL = serveTLS(t, served.TLS(), w.Handler())
		d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
		d.checkNothingTrusted()
		d.checkVoucherTold(pledge.ReasonNotPinned)
	}
}
