package attack_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
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

// Whoever has a certificate for the registrar's name passes for the registrar.
func TestNobodyEnrollsTheRegistrarsOwnNames(t *testing.T) {
	h := newHouse(t, func(h *house) {
		server := h.ca.Issue(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: "registrar"}, DNSNames: []string{"Registrar.example.com", "localhost"},
			IPAddresses:        []net.IP{net.IPv4(192, 0, 2, 10), net.ParseIP("2001:db8::10"), net.IPv4(127, 0, 0, 1)},
			UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
		}, testpki.NewKey(t))
		h.settings.TLSCertificates = []*x509.Certificate{server.Certificate}
	})
	h.importSerials("registrar")
	ra := h.operatorIssues("ra", "the RA")
	for what, change := range map[string]func(csr *x509.CertificateRequest){
		"its common name":            func(c *x509.CertificateRequest) { c.Subject.CommonName = "REGISTRAR" },
		"its DNS name as the CN":     func(c *x509.CertificateRequest) { c.Subject.CommonName = "registrar.example.com" },
		"its address as the CN":      func(c *x509.CertificateRequest) { c.Subject.CommonName = "2001:DB8:0::10" },
		"its DNS name":               func(c *x509.CertificateRequest) { c.DNSNames = []string{"registrar.EXAMPLE.com"} },
		"its common name as the DNS": func(c *x509.CertificateRequest) { c.DNSNames = []string{"registrar"} },
		"a wildcard for it":          func(c *x509.CertificateRequest) { c.DNSNames = []string{"*.example.com"} },
		"its address":                func(c *x509.CertificateRequest) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 10)} },
		"its IPv6 address":           func(c *x509.CertificateRequest) { c.IPAddresses = []net.IP{net.ParseIP("2001:db8::10")} },
	} {
		for who, r := range map[string]*request{"a group": h.enroll(pkix.Name{CommonName: "x"}).basic(), "an RA": h.enroll(pkix.Name{CommonName: "x"}).cert(ra)} {
			change(r.csr)
			if cert, err := r.send(); reason(err) != registrar.ReasonNameReserved && reason(err) != registrar.ReasonNamesRefused {
				t.Errorf("%s for %s: issued %v, %v", what, who, cert != nil, err)
			}
		}
	}
	loopback := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic()
	loopback.csr.DNSNames, loopback.csr.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	loopback.must()
	neighbor := h.enroll(pkix.Name{CommonName: "sensor-8.example.com"}).basic()
	neighbor.csr.DNSNames = []string{"sensor-8.example.com", "www.registrar.example.com"}
	neighbor.must()
	if h.operatorIssues("", "registrar") == nil {
		t.Error("nothing issued to the operator")
	}
}

// operatorIssues has the operator issue a certificate with a label's profile.
func (h *house) operatorIssues(label, name string) *x509.Certificate {
	h.t.Helper()
	csr, err := est.ParseCSR(testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, testpki.NewKey(h.t)))
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := h.service.IssueCertificate(h.t.Context(), &registrar.IssueRequest{Actor: "test", Label: label, CSR: csr.CertificateRequest})
	if err != nil {
		h.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	return cert
}

// A credential and an RA do not speak for a device that can prove who it is.
func TestNobodyElseTakesANameOfAnIDevIDDevice(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("Kilo-1")
	ra := h.operatorIssues("ra", "the RA")
	for round := range 2 { // the second time "x" and "y" are on record
		for what, change := range map[string]func(csr *x509.CertificateRequest){
			"its serial number as the name":     func(c *x509.CertificateRequest) { c.Subject = pkix.Name{CommonName: "Kilo-1"} },
			"serialNumber beside a harmless CN": func(c *x509.CertificateRequest) { c.Subject.SerialNumber = "Kilo-1" },
			"another letter case":               func(c *x509.CertificateRequest) { c.Subject = pkix.Name{CommonName: "kILO-1"} },
			"a letter that folds":               func(c *x509.CertificateRequest) { c.Subject = pkix.Name{CommonName: "\u212ailo-1"} },
			"as DNS name beside a CN":           func(c *x509.CertificateRequest) { c.DNSNames = []string{"KILO-1"} },
			"as first label":                    func(c *x509.CertificateRequest) { c.DNSNames = []string{"ok.example.com", "kilo-1.example.com"} },
			"as DNS name alone": func(c *x509.CertificateRequest) {
				c.Subject, c.DNSNames = pkix.Name{}, []string{"Kilo-1"}
			},
		} {
			for who, r := range map[string]*request{"group": h.enroll(pkix.Name{CommonName: "x"}).basic(), "RA": h.enroll(pkix.Name{CommonName: "y"}).cert(ra)} {
				change(r.csr)
				if cert, err := r.send(); reason(err) != registrar.ReasonForeignName && reason(err) != registrar.ReasonNamesRefused {
					t.Errorf("round %d, %s by %s: issued %v, %v", round, what, who, cert != nil, err)
				}
			}
		}
		h.enroll(pkix.Name{CommonName: "x"}).basic().must()
		h.enroll(pkix.Name{CommonName: "y"}).cert(ra).must()
	}
}

func TestAnotherKeyUnderAnApprovedNameWaitsForApprovalToo(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	r := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic()
	_, _ = r.send()
	list, err := h.service.ListPending(t.Context(), "", "", 10)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: list[0].ID}); err != nil {
		t.Fatal(err)
	}
	cert := r.must()
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); reason(err) != registrar.ReasonApproval {
		t.Errorf("a key that nobody approved: %v", err)
	}
	h.renew(cert).must() // proves itself
}

func TestAKeyThatWasRevokedAsCompromisedIsNotCertifiedAgain(t *testing.T) {
	for _, code := range []int{1, 2, 10} {
		h := newHouse(t, nil)
		cert, key := h.enrolled("sensor-7")
		other, _ := h.enrolled("sensor-8")
		if _, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}, Reason: code}); err != nil {
			t.Fatal(err)
		}
		for what, r := range map[string]*request{
			"under its name":      h.enroll(pkix.Name{CommonName: "sensor-7"}).basic(),
			"under another name":  h.enroll(pkix.Name{CommonName: "sensor-9"}).basic(),
			"renewing another":    h.renew(other),
			"re-enrolling anew":   h.with(other, est.OpSimpleEnroll),
			"with a fresh suffix": h.enroll(pkix.Name{CommonName: "sensor-7", SerialNumber: "b"}).basic(),
		} {
			if _, err := r.withKey(key).send(); reason(err) != registrar.ReasonKeyCompromised {
				t.Errorf("reason %d, %s: %v", code, what, err)
			}
		}
	}
}

func TestWhatWentWhileAWebhookWasAskedCountsNoMore(t *testing.T) {
	var meanwhile func()
	h := newHouse(t, func(h *house) {
		h.settings.Labels[""].Ask = func(context.Context, *registrar.Case) (*registrar.Decision, error) {
			if meanwhile != nil {
				meanwhile()
			}
			return &registrar.Decision{Verdict: registrar.Allow}, nil
		}
	})
	ra := h.operatorIssues("ra", "the RA")
	meanwhile = func() { h.revoke(ra) }
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).cert(ra).send(); reason(err) != registrar.ReasonRevoked {
		t.Errorf("an RA whose certificate was revoked: %v", err)
	}
	meanwhile = func() {
		if err := h.service.DisableCredential(t.Context(), "", "test", groupUser); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); reason(err) != registrar.ReasonBadCredentials {
		t.Errorf("a credential that was disabled: %v", err)
	}
}
