package attack_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// R9: whoever renews by simpleenroll in between does not start counting anew.
func TestEnrollingInBetweenDoesNotRenewForEver(t *testing.T) {
	h := newHouse(t, func(h *house) { h.reprofile(func(d *profile.Document) { d.Renewal.Max = 2 }) })
	cert, _ := h.enrolled("sensor-7")
	n := 0
	for ; n < 10; n++ {
		h.advance(time.Hour)
		op := []est.Operation{est.OpSimpleReenroll, est.OpSimpleEnroll}[n%2]
		next, err := h.with(cert, op).send()
		if err != nil {
			break
		}
		cert = next
	}
	if n != 2 {
		t.Errorf("%d renewals in a row where the profile allows 2", n)
	}
}

// R26.
func TestACertificateRekeyedBySimpleenrollIsRetiredToo(t *testing.T) {
	h := newHouse(t, nil)
	old, _ := h.enrolled("sensor-7")
	h.renew(h.with(old, est.OpSimpleEnroll).must()).must()
	if _, err := h.renew(old).send(); reason(err) != registrar.ReasonSuperseded {
		t.Errorf("the old certificate after the new one was used: %v", err)
	}
}

// Promise 5; the contract of Service.Enroll.
func TestACertificateOfOursGetsItsNamesLetterByLetter(t *testing.T) {
	for _, op := range []est.Operation{est.OpSimpleEnroll, est.OpSimpleReenroll} {
		h := newHouse(t, nil)
		a, _ := h.enrolled("kilo 1")
		for _, name := range []string{"KILO 1", "kilo  1", "\u212ailo 1"} {
			r := h.with(a, op)
			r.csr.Subject = pkix.Name{CommonName: name}
			if cert, err := r.send(); err == nil && string(cert.RawSubject) != string(a.RawSubject) {
				t.Errorf("%s: %q was issued to a device named \"kilo 1\"", op, cert.Subject.CommonName)
			}
		}
	}
}

// meddler is a profile that something happens behind: after the peer has
// authenticated, before its device is locked.
type meddler struct {
	registrar.Profile
	meanwhile func()
}

func (m *meddler) Names(f *registrar.Facts, csr *x509.CertificateRequest) (pkix.RDNSequence, ca.Names, error) {
	if act := m.meanwhile; act != nil {
		m.meanwhile = nil
		act()
	}
	return m.Profile.Names(f, csr)
}

func newMeddledHouse(t *testing.T) (*house, *meddler) {
	t.Helper()
	m := &meddler{}
	return newHouse(t, func(h *house) {
		m.Profile = h.settings.Labels[""].Profile
		h.settings.Labels[""].Profile = m
	}), m
}

// R1.
func TestARequestThatWasWaitingWhenItsCertificateWasRevokedIsRefused(t *testing.T) {
	h, m := newMeddledHouse(t)
	for _, op := range []est.Operation{est.OpSimpleEnroll, est.OpSimpleReenroll} {
		victim, _ := h.enrolled("sensor-7")
		m.meanwhile = func() { h.revoke(victim) }
		if _, err := h.with(victim, op).send(); reason(err) != registrar.ReasonRevoked {
			t.Errorf("%s: issued after Revoke had returned: %v", op, err)
		}
	}
}

func TestARequestThatWasWaitingWhenItsCredentialWentIsRefused(t *testing.T) {
	h, m := newMeddledHouse(t)
	for what, meanwhile := range map[string]func() error{
		"disabled": func() error { return h.service.DisableCredential(t.Context(), "", "test", groupUser) },
		"replaced": func() error {
			_, err := h.service.AddCredential(t.Context(), &registrar.NewCredential{Actor: "test", User: groupUser, Group: true, Replace: true})
			return err
		},
	} {
		m.meanwhile = func() {
			if err := meanwhile(); err != nil {
				t.Error(err)
			}
		}
		if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); reason(err) != registrar.ReasonBadCredentials {
			t.Errorf("%s: %v", what, err)
		}
		var err error
		h.secret, err = h.service.AddCredential(t.Context(), &registrar.NewCredential{Actor: "test", User: groupUser, Group: true, Replace: true})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// R26: of two renewals of one certificate the one that is used first is the successor.
func TestOfTwoRenewalsOfOneCertificateOneSurvives(t *testing.T) {
	for _, first := range []int{0, 1} {
		h := newHouse(t, nil)
		a, _ := h.enrolled("sensor-7")
		renewals := []*x509.Certificate{h.renew(a).must(), h.renew(a).must()}
		h.renew(renewals[first]).must()
		for what, cert := range map[string]*x509.Certificate{"the other renewal": renewals[1-first], "the renewed one": a} {
			if _, err := h.renew(cert).send(); reason(err) != registrar.ReasonSuperseded {
				t.Errorf("renewal %d used: %s: %v", first, what, err)
			}
		}
		h.renew(renewals[first]).must()
	}
}

func TestSomebodyElsesEnrollmentsDoNotUseUpADevicesBudget(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerDevice = 5 })
	victim, _ := h.enrolled("sensor-7")
	for range 5 {
		_, _ = h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send()
	}
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); reason(err) != registrar.ReasonDeviceBudget {
		t.Errorf("a seventh enrollment by the group: %v", err)
	}
	if _, err := h.renew(victim).send(); err != nil {
		t.Errorf("the device's own renewal: %v", err)
	}
}

func TestOfMoreThanAThousandCertificatesTheRightOneIsRetired(t *testing.T) {
	h := newHouse(t, nil)
	for range 2000 {
		h.enrolled("sensor-7")
	}
	for range 8 { // serials are random: some come after the first thousand
		old, _ := h.enrolled("sensor-7")
		h.renew(h.renew(old).must()).must()
		if _, err := h.renew(old).send(); reason(err) != registrar.ReasonSuperseded {
			t.Fatalf("an old certificate after its successor was used: %v", err)
		}
	}
}
