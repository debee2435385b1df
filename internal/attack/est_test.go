package attack_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/storetest"
)

// Promise 2 of the design: a name is given to one of those who race for it.
func TestOfManyKeysThatRaceForANameOneGetsIt(t *testing.T) {
	h := newHouse(t, func(h *house) { h.reprofile(func(d *profile.Document) { d.AllowSameNameOtherKey = false }) })
	const racers = 16
	errs := make([]error, racers)
	requests := make([]*request, racers)
	for i := range requests {
		requests[i] = h.enroll(pkix.Name{CommonName: "sensor-7"}).basic()
	}
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() { _, errs[i] = r.send() })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch reason(err) {
		case "":
			won++
		case registrar.ReasonNameTaken:
		default:
			t.Errorf("a racer: %v", err)
		}
	}
	if issued := len(h.certificates(registrar.Issued)); won != 1 || issued != 1 {
		t.Errorf("%d won and %d certificates are on record, want one of each", won, issued)
	}
}

// Promise 6 of the design; R9, R10, R11, R26: who holds another certificate,
// an old one, a revoked one or a copy renews nothing.
func TestOnlyTheCertificateItselfGetsANewOne(t *testing.T) {
	h := newHouse(t, nil)
	a, _ := h.enrolled("a")
	b, _ := h.enrolled("b")
	revoked, _ := h.enrolled("r")
	h.revoke(revoked)
	old, _ := h.enrolled("o")
	h.renew(h.renew(old).must()).must()
	copied := h.ca.Issue(t, &x509.Certificate{Subject: a.Subject, SerialNumber: new(big.Int).Set(a.SerialNumber)}, testpki.NewKey(t)).Certificate
	before := len(h.certificates(""))
	for _, op := range []est.Operation{est.OpSimpleEnroll, est.OpSimpleReenroll} {
		for _, c := range []struct {
			what string
			r    *request
			want string
		}{
			{"b's certificate for a", h.with(a, op).cert(b), est.ReasonReenrollSubject},
			{"a revoked one", h.with(revoked, op), registrar.ReasonRevoked},
			{"a superseded one", h.with(old, op), registrar.ReasonSuperseded},
			{"a's serial number with another key", h.with(a, op).cert(copied), registrar.ReasonNotOnRecord},
			{"the registrar's own", h.with(a, op).cert(h.registrar.Certificate), registrar.ReasonNotOnRecord},
			{"the issuing CA's", h.with(a, op).cert(h.ca.Certificate), registrar.ReasonNotOnRecord},
		} {
			if _, err := c.r.send(); reason(err) != c.want {
				t.Errorf("%s with %s: %v, want %q", op, c.what, err, c.want)
			}
			// Good credentials beside a certificate that must not count change nothing.
			if op == est.OpSimpleEnroll {
				continue // there the credentials are what enrolls
			}
			if _, err := c.r.basic().send(); reason(err) != c.want {
				t.Errorf("%s with %s and HTTP credentials: %v, want %q", op, c.what, err, c.want)
			}
		}
	}
	if after := len(h.certificates("")); after != before {
		t.Errorf("%d certificates were issued meanwhile", after-before)
	}
}

// Only what an operator made enrolls others, and it renews itself only.
func TestNobodyBecomesAnRAByAsking(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll(pkix.Name{CommonName: "ra"}).basic()
	r.csr.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 37}, Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x1c}}}
	cert, err := r.send()
	if err == nil && len(cert.UnknownExtKeyUsage) > 0 {
		t.Errorf("the request's extended key usage was granted: %v", cert.UnknownExtKeyUsage)
	}
	device, _ := h.enrolled("dev")
	if _, err := h.enroll(pkix.Name{CommonName: "other"}).cert(device).send(); reason(err) != est.ReasonReenrollSubject {
		t.Errorf("a device enrolls another: %v", err)
	}
	for _, label := range []string{"ra", "none", "simpleenroll"} {
		q := h.enroll(pkix.Name{CommonName: "ra"}).basic()
		csr, err := est.ParseCSR(testpki.CSR(t, q.csr, q.key))
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.service.Enroll(t.Context(), &est.EnrollRequest{
			Request: est.Request{ID: "q", Operation: est.OpSimpleEnroll, Label: label, Peer: q.peer, At: h.now()}, CSR: csr,
		})
		if err == nil {
			t.Errorf("the label %q issued to a group credential", label)
		}
	}
}

// Promise 1 of the design: however the store fails, what a client holds is on
// record, and what is on record as issued is what was decided.
func TestAStoreThatFailsAtAnyStepLetsNothingUnrecordedOut(t *testing.T) {
	down := errors.New("the store is down")
	for _, after := range []bool{false, true} {
		for step := range 4 {
			memory := storetest.NewMemory()
			h := newHouse(t, func(h *house) { h.store = memory })
			old, _ := h.enrolled("sensor-7")
			n := 0
			fail := func(*registrar.Change) error {
				if n++; n-1 == step {
					return down
				}
				return nil
			}
			if after {
				memory.FailAfter(fail)
			} else {
				memory.FailBefore(fail)
			}
			cert, err := h.renew(old).send()
			memory.FailAfter(nil)
			memory.FailBefore(nil)
			if (cert == nil) == (err == nil) {
				t.Fatalf("certificate %v with error %v", cert != nil, err)
			}
			if cert != nil {
				row, err := h.store.CertificateOf(t.Context(), registrar.DefaultDomain, cert.SerialNumber.Bytes(), cert.Raw)
				if err != nil || row.Status != registrar.Issued || string(row.Raw) != string(cert.Raw) {
					t.Errorf("commit %d fails (stored: %v): the client holds %x, on record is %+v, %v", step, after, cert.SerialNumber, row, err)
				}
			}
			for _, row := range h.certificates(registrar.Issued) {
				if row.Raw == nil || row.Subject != "CN=sensor-7" {
					t.Errorf("commit %d fails (stored: %v): on record as issued is %+v", step, after, row)
				}
			}
		}
	}
}

// R12: every revoked certificate is in the list until it has expired,
// superseded ones too, and whatever is revoked, renewed and listed in between.
func TestNoRevokedCertificateLeavesTheListBeforeItsEnd(t *testing.T) {
	h := newHouse(t, nil)
	want := map[string]bool{}
	for round := range 12 {
		name := string(rune('a' + round))
		cert, _ := h.enrolled(name)
		if round%3 == 0 {
			fresh := h.renew(cert).must()
			h.renew(fresh).must() // fresh is seen: cert is superseded
			want[cert.SerialNumber.String()] = true
		} else {
			h.revoke(cert)
			want[cert.SerialNumber.String()] = true
		}
		h.advance(29 * 24 * time.Hour)
		crl, err := h.service.GenerateCRL(context.Background(), "", "test")
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(crl.Raw)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]bool{}
		for _, e := range list.RevokedCertificateEntries {
			listed[e.SerialNumber.String()] = true
		}
		for serial := range want {
			if !listed[serial] {
				t.Errorf("round %d: %s is revoked, has not expired, and is not in list %d", round, serial, crl.Number)
			}
		}
	}
}

// Guessing is bounded in memory and time: at most so many digests run or wait,
// and the others are told to come back.
func TestGuessingPasswordsIsTurnedAwayAndDoesNotLockOutGeneratedOnes(t *testing.T) {
	h := newHouse(t, nil)
	if _, err := h.service.AddCredential(t.Context(), &registrar.NewCredential{Actor: "test", User: "anna", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	const guesses = 90
	reasons := make(chan string, guesses)
	requests := make([]*request, guesses)
	for i := range requests {
		requests[i] = h.enroll(pkix.Name{CommonName: "anna"})
		requests[i].peer.User, requests[i].peer.Secret = "anna", est.Secret(string(rune('a'+i%26))+"guess")
	}
	var wg sync.WaitGroup
	for _, r := range requests {
		wg.Go(func() {
			_, err := r.send()
			reasons <- reason(err)
		})
	}
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); err != nil {
		t.Errorf("a generated credential during the guessing: %v", err)
	}
	wg.Wait()
	close(reasons)
	for r := range reasons {
		if r != registrar.ReasonBadCredentials && r != registrar.ReasonOverload {
			t.Errorf("a guess: %q", r)
		}
	}
}

// Credentials that were taken away count no more at once.
func TestADisabledCredentialEnrollsNothing(t *testing.T) {
	h := newHouse(t, nil)
	h.enrolled("sensor-7")
	if err := h.service.DisableCredential(t.Context(), "", "test", groupUser); err != nil {
		t.Fatal(err)
	}
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-8"}).basic().send(); reason(err) != registrar.ReasonBadCredentials {
		t.Errorf("after it was disabled: %v", err)
	}
}
