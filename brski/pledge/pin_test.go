package pledge_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// serveTLS serves h as certificate, whole as it is, until the test ends.
func serveTLS(t testing.TB, certificate tls.Certificate, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert,
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// setPin makes v pin c in the given way and in no other.
func setPin(v *voucher.Voucher, leaf string, c *x509.Certificate) {
	v.PinnedDomainCert, v.PinnedDomainPubk, v.PinnedDomainPubkSHA256 = nil, nil, nil
	addPin(v, leaf, c)
}

func addPin(v *voucher.Voucher, leaf string, c *x509.Certificate) {
	switch leaf {
	case "pinned-domain-cert":
		v.PinnedDomainCert = c.Raw
	case "pinned-domain-pubk":
		v.PinnedDomainPubk = c.RawSubjectPublicKeyInfo
	case "pinned-domain-pubk-sha256":
		hash := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		v.PinnedDomainPubkSHA256 = hash[:]
	}
}

var pinLeaves = []string{"pinned-domain-cert", "pinned-domain-pubk", "pinned-domain-pubk-sha256"}

// deepRegistrar moves the registrar of w two CAs below the root, and returns
// its chain: itself, two intermediates, root.
func deepRegistrar(t testing.TB, w *brskitest.World, d *device, withRoot bool) []*x509.Certificate {
	t.Helper()
	lower := w.Issuing.NewIntermediate(t, "Registrars CA")
	w.Identity = lower.Registrar(t, "deep registrar")
	certificate := w.Identity.TLS()
	if withRoot {
		certificate.Certificate = append(certificate.Certificate, w.Domain.Certificate.Raw)
	}
	d.config.RegistrarURL = serveTLS(t, certificate, w.Handler())
	return append([]*x509.Certificate{w.Identity.Certificate}, w.Identity.Chain...)
}

// BRSKI-8366-5.3-04: the pinned certificate, or key, is somewhere in the registrar's chain.
// BRSKI-8995-5.1-05: the chain that the registrar showed is kept for the voucher; nothing else reaches the pin.
func TestPinAnywhereInTheRegistrarsChainIsTaken(t *testing.T) {
	for i, where := range []string{"registrar", "lower CA", "upper CA", "root"} {
		for _, leaf := range pinLeaves {
			t.Run(leaf+" of the "+where, func(t *testing.T) {
				w := brskitest.New(t)
				d := newDevice(t, w)
				chain := deepRegistrar(t, w, d, leaf == "pinned-domain-pubk-sha256")
				w.MASA.Change(func(v *voucher.Voucher) { setPin(v, leaf, chain[i]) })
				result := d.onboard()
				if hash := sha256.Sum256(chain[i].RawSubjectPublicKeyInfo); !bytes.Equal(result.PinnedKeySHA256, hash[:]) {
					t.Errorf("PinnedKeySHA256 = %x, want %x", result.PinnedKeySHA256, hash)
				}
				if byCert := leaf == "pinned-domain-cert"; (result.Pinned != nil) != byCert {
					t.Errorf("Pinned = %v, want a certificate: %v", result.Pinned, byCert)
				}
				if s := d.status(); !bytes.Equal(s.PinnedKeySHA256, result.PinnedKeySHA256) {
					t.Errorf("Status().PinnedKeySHA256 = %x, want %x", s.PinnedKeySHA256, result.PinnedKeySHA256)
				}
			})
		}
	}
}

// BRSKI-8366-5.3-04: a pin that is not in the registrar's chain is not.
// BRSKI-8995-5.6.2-01: the pin is the only anchor; the connection is closed, after telemetry.
func TestPinOutsideTheRegistrarsChainIsRefused(t *testing.T) {
	for _, leaf := range pinLeaves {
		for _, where := range []string{"another root", "another member", "the manufacturer", "a sibling CA"} {
			t.Run(leaf+" of "+where, func(t *testing.T) {
				w := brskitest.New(t)
				d := newDevice(t, w)
				pin := map[string]*testpki.Identity{
					"another root":     testpki.NewRoot(t, w.Domain.Certificate.Subject.CommonName),
					"another member":   w.Issuing.Registrar(t, "registrar"),
					"the manufacturer": w.Vendor,
					"a sibling CA":     w.Domain.NewIntermediate(t, w.Issuing.Certificate.Subject.CommonName),
				}[where]
				w.MASA.Change(func(v *voucher.Voucher) { setPin(v, leaf, pin.Certificate) })
				connections := d.countConnections()
				d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
				d.checkNothingTrusted()
				d.checkVoucherTold(pledge.ReasonNotPinned)
				if opened, closed := connections(); opened != 1 || closed != 1 {
					t.Errorf("%d connections opened and %d closed, want one that was closed", opened, closed)
				}
			})
		}
	}
}

// The key alone of a CA that the registrar does not show: its hash verifies nothing.
func TestHashOfACAThatIsNotShownVerifiesNothing(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	w.MASA.Change(func(v *voucher.Voucher) { setPin(v, "pinned-domain-pubk-sha256", w.Domain.Certificate) })
	d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
}

// A certificate that says it has the pinned key does not vouch for what that key did not sign.
func TestShownCertificateOfThePinnedKeyVouchesForWhatTheKeySigned(t *testing.T) {
	for _, leaf := range pinLeaves[1:] {
		w := brskitest.New(t)
		d := newDevice(t, w)
		evil := testpki.NewRoot(t, "Domain Root")
		w.Identity = evil.Registrar(t, "registrar")
		certificate := w.Identity.TLS()
		certificate.Certificate = append(certificate.Certificate, w.Domain.Certificate.Raw, evil.Certificate.Raw)
		d.config.RegistrarURL = serveTLS(t, certificate, w.Handler())
		w.MASA.Change(func(v *voucher.Voucher) { setPin(v, leaf, w.Domain.Certificate) })
		d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
		d.checkNothingTrusted()
	}
}

// BRSKI-8366BIS-8-01: of several pins the one counts that answers the proximity entry of the request.
func TestPinThatAnswersTheProximityEntryCounts(t *testing.T) {
	for entry, leaf := range map[pledge.Proximity]string{
		pledge.ProximityCert:    "pinned-domain-cert",
		pledge.ProximityKey:     "pinned-domain-pubk",
		pledge.ProximityKeyHash: "pinned-domain-pubk-sha256",
	} {
		for _, right := range pinLeaves {
			t.Run(leaf+" asked, "+right+" right", func(t *testing.T) {
				w := brskitest.New(t)
				w.Registrar.TakeAnyProximity()
				d := newDevice(t, w, func(c *pledge.Config) { c.Proximity = entry })
				wrong := testpki.NewRoot(t, "elsewhere").Certificate
				w.MASA.Change(func(v *voucher.Voucher) {
					for _, l := range pinLeaves {
						addPin(v, l, wrong)
					}
					addPin(v, right, w.Identity.Certificate)
				})
				if right == leaf {
					d.onboard()
					return
				}
				d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
			})
		}
	}
}

// BRSKI-8366BIS-8-02: without a nonce the first of pubk-sha256, pubk and cert counts.
func TestFirstPinOfANoncelessVoucherCounts(t *testing.T) {
	order := []string{"pinned-domain-pubk-sha256", "pinned-domain-pubk", "pinned-domain-cert"}
	for i, first := range order {
		for j, right := range order[i:] {
			t.Run(first+" first, "+right+" right", func(t *testing.T) {
				w := brskitest.New(t)
				d := newDevice(t, w) // by certificate, which does not matter
				wrong := testpki.NewRoot(t, "elsewhere").Certificate
				w.MASA.Change(func(v *voucher.Voucher) {
					v.Nonce = ""
					setPin(v, right, w.Identity.Certificate)
					for _, l := range order[i:] {
						if l != right {
							addPin(v, l, wrong)
						}
					}
				})
				if j == 0 {
					d.onboard()
					return
				}
				d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
			})
		}
	}
}

// BRSKI-8995-5.6.1-03: a voucher that pins nothing is a failure that is told, and no crash; a next registrar is tried.
func TestVoucherWithoutAPinFailsCleanly(t *testing.T) {
	for name, payload := range map[string]string{
		"no pin":    `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789","nonce":"NONCE"}}`,
		"empty pin": `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-cert":""}}`,
		"delegation": `{"ietf-delegated-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789",
			"nonce":"NONCE","delegation-enable-flag":true,"delegation-countdown":1,"pinned-delegation-cert-authority":"PIN"}}`,
		"no certificate": `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-cert":"MAA="}}`,
		"no key":         `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-pubk":"MAA="}}`,
		"no hash":        `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08Z","serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-pubk-sha256":"MAA="}}`,
	} {
		t.Run(name, func(t *testing.T) {
			reason := map[string]string{
				"no pin": pledge.ReasonVoucherNoPin, "delegation": pledge.ReasonVoucherNoPin,
				"no certificate": pledge.ReasonVoucherPin, "no key": pledge.ReasonVoucherPin,
			}[name]
			if reason == "" {
				reason = pledge.ReasonVoucherMalformed // the JSON does not read
			}
			w := brskitest.New(t)
			answerPayload(w, payload)
			d := newDevice(t, w)
			d.onboardFails(reason, pledge.ErrUntrusted)
			d.checkNothingTrusted()
			d.checkVoucherTold(reason)
			next := w.Issuing.Registrar(t, "another registrar")
			w.Intercept(nil)
			w.Identity = next
			d.config.RegistrarURL = serveTLS(t, next.TLS(), w.Handler())
			d.checkWhole(d.onboard())
		})
	}
}
