package pledge_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
)

// runUntilCut calls f and tells whether the power was cut in it.
func runUntilCut(t *testing.T, f func() error) (cut bool) {
	t.Helper()
	defer func() {
		switch p := recover(); p.(type) {
		case nil:
		case powerCut:
			cut = true
		default:
			panic(p)
		}
	}()
	if err := f(); err != nil {
		t.Fatalf("run that was to be cut: %v", err)
	}
	return false
}

// A cut at each write, before it is durable and after.
func TestPowerCutAtAnyWriteResumes(t *testing.T) {
	complete := newDevice(t, brskitest.New(t))
	complete.onboard()
	writes := complete.memory.writes()
	if writes < 8 {
		t.Fatalf("an onboarding has %d writes; the test expects at least 8", writes)
	}
	for n := 1; n <= writes; n++ {
		for _, lost := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d, lost %v", n, lost), func(t *testing.T) {
				w := brskitest.New(t)
				d := newDevice(t, w)
				d.memory.cutAt, d.memory.lost = n, lost
				if !runUntilCut(t, func() error { _, err := d.pledge().Onboard(context.Background()); return err }) {
					t.Fatalf("the power was not cut")
				}
				d.memory = d.memory.copyFiles()
				d.config.State = d.memory
				sent := len(w.Registrar.Enrollments())
				result := d.onboard()
				d.checkWhole(result)
				if !result.Reported || len(w.Registrar.EnrollStatuses()) == 0 {
					t.Errorf("the enrollment was not reported")
				}
				if keys := enrolledKeys(w); sent > 0 && len(keys) != 1 {
					t.Errorf("%d keys were enrolled, want 1: a CSR was out before the cut", len(keys))
				}
			})
		}
	}
}

// A cut at each write while two registrars are asked, of which one refuses.
func TestPowerCutAmongSeveralRegistrarsResumes(t *testing.T) {
	for n := 1; n <= 14; n++ {
		w := brskitest.New(t)
		bad := w.AnotherDomain(t, "Bad")
		bad.Registrar.Refuse(refusal)
		d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL, c.Registrars = bad.URL, []string{w.URL} })
		d.memory.cutAt = n
		cut := runUntilCut(t, func() error { _, err := d.pledge().Onboard(context.Background()); return err })
		if !cut && n <= 9 { // a refusal that comes after the voucher is not written down
			t.Fatalf("the power was not cut at write %d", n)
		}
		d.memory = d.memory.copyFiles()
		d.config.State = d.memory
		d.checkWhole(d.onboard())
	}
}

// Two cuts in one onboarding.
func TestTwoPowerCutsResume(t *testing.T) {
	for first := 1; first <= 9; first += 2 {
		for second := 1; second <= 6; second++ {
			w := brskitest.New(t)
			d := newDevice(t, w)
			for _, at := range []int{first, second} {
				d.memory.cutAt = at
				runUntilCut(t, func() error { _, err := d.pledge().Onboard(context.Background()); return err })
				d.memory = d.memory.copyFiles()
				d.config.State = d.memory
			}
			d.checkWhole(d.onboard())
		}
	}
}

// The process is stopped at each step.
func TestStopAtAnyStepResumes(t *testing.T) {
	complete := newDevice(t, brskitest.New(t))
	complete.onboard()
	for n := range complete.steps {
		t.Run(string(complete.steps[n]), func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen := 0
			d.config.Report = func(pledge.Step) {
				if seen++; seen == n+1 {
					cancel()
				}
			}
			_, err := d.pledge().Onboard(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("Onboard: %v, want %v", err, context.Canceled)
			}
			sent := len(w.Registrar.Enrollments())
			d.config.Report = nil
			d.checkWhole(d.onboard())
			if keys := enrolledKeys(w); sent > 0 && len(keys) != 1 {
				t.Errorf("%d keys were enrolled, want 1", len(keys))
			}
		})
	}
}

func TestPowerCutInRenewalKeepsAUsableCertificate(t *testing.T) {
	var old *x509.Certificate
	enrolled := func(t *testing.T) (*brskitest.World, *device) {
		w := brskitest.New(t)
		d := newDevice(t, w)
		old = d.onboard().Certificate
		// The domain has another root from now on, so that cacerts.pem is replaced too.
		other := brskitest.New(t)
		w.Registrar.SetCACerts(append(d.status().CACerts, other.Domain.Certificate))
		d.memory = d.memory.copyFiles()
		d.config.State = d.memory
		return w, d
	}
	_, complete := enrolled(t)
	if _, err := complete.pledge().Renew(context.Background()); err != nil {
		t.Fatalf("Renew: %v", err)
	}
	writes := complete.memory.writes()
	if writes < 10 {
		t.Fatalf("a renewal has %d writes; the test expects at least 10", writes)
	}
	for n := 1; n <= writes; n++ {
		for _, lost := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d, lost %v", n, lost), func(t *testing.T) {
				w, d := enrolled(t)
				d.memory.cutAt, d.memory.lost = n, lost
				if !runUntilCut(t, func() error { _, err := d.pledge().Renew(context.Background()); return err }) {
					t.Fatalf("the power was not cut")
				}
				d.memory = d.memory.copyFiles()
				d.config.State = d.memory
				sent := len(enrolledKeys(w))
				s := d.status()
				if s.Stage != pledge.Enrolled || s.Certificate == nil {
					t.Fatalf("Status = stage %q, want %q with a certificate", s.Stage, pledge.Enrolled)
				}
				if isNew := !s.Certificate.Equal(old); isNew != (len(s.CACerts) == 3) {
					t.Errorf("the certificate is the new one: %v, with %d CA certificates; want 3 with the new one only", isNew, len(s.CACerts))
				}
				d.checkWhole(d.onboard())
				unfinished := d.status().Renewing
				result, err := d.pledge().Renew(context.Background())
				if err != nil {
					t.Fatalf("Renew after the cut: %v", err)
				}
				d.checkWhole(result)
				if keys := enrolledKeys(w); unfinished && sent == 2 && len(keys) != 2 {
					t.Errorf("%d keys were enrolled, want 2: the renewal goes on with the key it began with", len(keys))
				}
			})
		}
	}
}
