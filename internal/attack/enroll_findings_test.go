package attack_test

import (
	"crypto/x509/pkix"
	"testing"
	"time"

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
