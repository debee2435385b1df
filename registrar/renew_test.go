package registrar_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// enrolled returns a device with its certificate.
func (h *house) enrolled(name string) (*x509.Certificate, crypto.Signer) {
	h.t.Helper()
	r := h.enroll(name).basic(group).dns(name + ".example.com")
	return r.mustSend(), r.key
}

func (h *house) renew(cert *x509.Certificate) *request {
	r := h.enroll(cert.Subject.CommonName).cert(cert).renewing()
	r.csr.DNSNames = cert.DNSNames
	return r
}

func (h *house) revoke(cert *x509.Certificate) {
	h.t.Helper()
	if _, err := h.service.Revoke(h.t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}, Reason: 1}); err != nil {
		h.t.Fatalf("Revoke: %v", err)
	}
}

// EST-7030-4.2.2-05, EST-7030-4.2.2-06: the same key is a renewal, another one a rekey.
func TestACertificateRenewsItselfWithTheSameOrAnotherKey(t *testing.T) {
	h := newHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	same := h.renew(cert).withKey(key).mustSend()
	if same.SerialNumber.Cmp(cert.SerialNumber) == 0 || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(same.PublicKey) {
		t.Error("renewal with the same key gave no new certificate for it")
	}
	rekey := h.renew(cert)
	other := rekey.mustSend()
	if other.Equal(cert) || other.Equal(same) || !rekey.key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(other.PublicKey) {
		t.Error("rekey gave no new certificate")
	}
}

func TestARenewalRepeatedWithinMinutesGetsTheSameAnswer(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	r := h.renew(cert)
	first := r.mustSend()
	h.advance(9 * time.Minute)
	if second := r.mustSend(); !second.Equal(first) {
		t.Error("repeated within nine minutes, the renewal got another answer")
	}
	h.advance(2 * time.Minute)
	if third := r.mustSend(); third.Equal(first) {
		t.Error("repeated after eleven minutes, the renewal got the old answer")
	}
}

// Promise 6 of the design; R26.
func TestTheOldCertificateIsRetiredWhenTheNewOneIsSeenInUse(t *testing.T) {
	h := newHouse(t, nil)
	old, _ := h.enrolled("sensor-7")
	fresh := h.renew(old).mustSend()
	h.renew(old).mustSend() // not seen yet: the old one still may
	h.renew(fresh).mustSend()
	h.renew(old).refusedAs(registrar.ReasonSuperseded, 403)
	if n := len(h.entries(registrar.KindCertificateRetired)); n != 2 { // the old one, and its renewal that was never used
		t.Errorf("%d entries about a retired certificate, want 2", n)
	}
}

// EST-7030-4.2.2-02; R9, R10, R11: only the certificate itself renews, compared as a whole.
// BRSKI-EST-7030-4.2.2-01: a renewal needs the current certificate.
func TestOnlyTheCertificateOnRecordRenews(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels["other"] = &registrar.Label{Profile: h.profile("ldevid"), Renewal: true}
		h.settings.Labels["fixed"] = &registrar.Label{Profile: h.profile("device"), Basic: true}
		twin := profile.Device()
		twin.Name = "twin"
		h.issuer = h.newIssuer(profile.Device(), twin, profile.LDevID(), raProfile())
		h.settings.Labels["twin"] = &registrar.Label{Profile: h.profile("twin"), Renewal: true}
	})
	a, _ := h.enrolled("a")
	b, _ := h.enrolled("b")
	forged := func(ca *testpki.Identity, serial *big.Int) *x509.Certificate {
		return ca.Issue(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: "a"}, DNSNames: a.DNSNames, SerialNumber: serial, SubjectKeyId: a.SubjectKeyId,
		}, testpki.NewKey(t)).Certificate
	}
	renamed := h.renew(a)
	renamed.csr.DNSNames = append(renamed.csr.DNSNames, "evil.example.com")
	fewer := h.renew(a)
	fewer.csr.DNSNames = nil
	for _, c := range []struct {
		what   string
		r      *request
		reason string
	}{
		{"device B's certificate with A's request", h.renew(a).cert(b), est.ReasonReenrollSubject},
		{"A's names, another serial number of the same CA", h.renew(a).cert(forged(h.ca, big.NewInt(99))), registrar.ReasonNotOnRecord},
		{"A's names, serial number and key identifier, another key", h.renew(a).cert(forged(h.ca, a.SerialNumber)), registrar.ReasonNotOnRecord},
		{"A's names and serial number of another CA", h.renew(a).cert(forged(testpki.NewRoot(t, "house CA"), a.SerialNumber)), registrar.ReasonUntrusted},
		{"a name more", renamed, est.ReasonReenrollSAN},
		{"a name less", fewer, est.ReasonReenrollSAN},
		{"another label", h.renew(a).label("other"), registrar.ReasonNamesRefused},
		{"another label that would take the names", h.renew(a).label("twin"), registrar.ReasonOtherProfile},
		{"a label without renewal", h.renew(a).label("fixed"), registrar.ReasonRenewalNotAllowed},
	} {
		before := len(h.certificates(""))
		_, err := c.r.send()
		var e *est.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Status/100 != 4 {
			t.Errorf("%s: %v, want a refusal with %q", c.what, err, c.reason)
		}
		if after := len(h.certificates("")); after != before {
			t.Errorf("%s: something was issued", c.what)
		}
	}
}

func TestACertificateOfOursEnrollsItsOwnNamesOnly(t *testing.T) {
	h := newHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	r := h.enroll("sensor-7").cert(cert).withKey(key)
	r.csr.DNSNames = cert.DNSNames
	if again := r.mustSend(); !again.Equal(cert) {
		t.Error("simpleenroll with the certificate's own key and names is not answered with it")
	}
	h.enroll("sensor-8").cert(cert).refusedAs(est.ReasonReenrollSubject, 403)
}

// EST-9325-7.5-01.
// EST-7030-4.2.2-07; R1: revocation of the authenticating certificate counts on every operation
// and at once, on a connection that was good a moment ago.
func TestARevokedCertificateAuthenticatesNothing(t *testing.T) {
	h := newHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	h.renew(cert).mustSend() // now all that is cached is
	h.revoke(cert)
	h.renew(cert).refusedAs(registrar.ReasonRevoked, 403)
	enroll := h.enroll("sensor-7").cert(cert).withKey(key)
	enroll.csr.DNSNames = cert.DNSNames
	enroll.refusedAs(registrar.ReasonRevoked, 403)
	h.enroll("sensor-7").cert(cert).basic(group).refusedAs(registrar.ReasonRevoked, 403)
	peer := h.renew(cert).peer
	_, err := h.service.CSRAttrs(t.Context(), &est.Request{Operation: est.OpCSRAttrs, Peer: peer, At: h.now()})
	refusal(t, err, registrar.ReasonRevoked, 403)
	if _, err := h.service.CACerts(t.Context(), &est.Request{Operation: est.OpCACerts, Peer: peer, At: h.now()}); err != nil {
		t.Errorf("CACerts: %v", err)
	}
	// R1: and when the status cannot be read, nothing is authenticated either.
	other, _ := h.enrolled("sensor-8")
	h.reads.failing("Certificate")
	h.renew(other).refusedAs(registrar.ReasonStore, 503)
	_, err = h.service.CSRAttrs(t.Context(), &est.Request{Operation: est.OpCSRAttrs, Peer: h.renew(other).peer, At: h.now()})
	refusal(t, err, registrar.ReasonStore, 503)
}

func TestASuspendedOrDecommissionedDeviceAuthenticatesNothing(t *testing.T) {
	h := newHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	device := &registrar.StateChange{Actor: "test", Device: "sensor-7"}
	if _, err := h.service.Suspend(t.Context(), device); err != nil {
		t.Fatal(err)
	}
	h.renew(cert).refusedAs(registrar.ReasonDeviceSuspended, 403)
	h.enroll("sensor-7").basic(group).withKey(key).refusedAs(registrar.ReasonDeviceSuspended, 403)
	if _, err := h.service.Resume(t.Context(), device); err != nil {
		t.Fatal(err)
	}
	cert = h.renew(cert).mustSend()
	if _, err := h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "test", Device: "sensor-7"}); err != nil {
		t.Fatal(err)
	}
	h.renew(cert).refusedAs(registrar.ReasonRevoked, 403)
	h.enroll("sensor-7").basic(group).withKey(key).refusedAs(registrar.ReasonDeviceDecommissioned, 403)
}

func TestAnExpiredCertificateRenewsWithinItsGraceOnly(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	h.advance(366 * 24 * time.Hour)
	h.renew(cert).refusedAs(registrar.ReasonExpired, 403)

	h = newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.Renewal.ExpiredGrace = "7d" })
	})
	cert, _ = h.enrolled("sensor-7")
	h.advance(366 * 24 * time.Hour)
	fresh := h.enroll("").cert(cert)
	fresh.csr.Subject, fresh.csr.DNSNames = cert.Subject, cert.DNSNames
	fresh.refusedAs(registrar.ReasonNoCredentials, 401) // an enrollment is no renewal
	h.renew(cert).mustSend()
	h.advance(8 * 24 * time.Hour)
	h.renew(cert).refusedAs(registrar.ReasonExpired, 403)
}

// R9: renewal is not for ever.
func TestAProfileLimitsRenewals(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.Renewal.Max = 2 })
	})
	cert, _ := h.enrolled("sensor-7")
	for range 2 {
		h.advance(time.Hour)
		cert = h.renew(cert).mustSend()
	}
	h.advance(time.Hour)
	h.renew(cert).refusedAs(registrar.ReasonRenewalLimit, 403)

	h = newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.Renewal.SameKey = "refuse"; d.Renewal.Window = "30d" })
	})
	cert, key := h.enrolled("sensor-7")
	h.renew(cert).refusedAs(registrar.ReasonRenewalTooEarly, 403)
	h.advance(340 * 24 * time.Hour)
	h.renew(cert).withKey(key).refusedAs(registrar.ReasonSameKey, 403)
	h.renew(cert).mustSend()
}
