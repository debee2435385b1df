package pledge_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

const lifetime = 20 * 24 * time.Hour // of the LDevIDs in these tests

// clocked is a device that lives in the time of a synctest bubble,
// while its domain lives outside. The domain issues by the device's time.
type clocked struct {
	*device
	now      atomic.Pointer[time.Time] // as the device last read it
	attempts []time.Time               // of KeepRenewed, as reported
}

// newClocked onboards a device, outside any bubble.
func newClocked(t *testing.T, w *brskitest.World) *clocked {
	t.Helper()
	c := &clocked{device: newDevice(t, w)}
	start := time.Now()
	c.now.Store(&start)
	w.Registrar.IssueWith(func(q *est.EnrollRequest) []byte { return c.issue(q, lifetime) })
	c.config.Now = func() time.Time { return *c.now.Load() }
	c.onboard()
	return c
}

func (c *clocked) issue(q *est.EnrollRequest, life time.Duration) []byte {
	now := *c.now.Load()
	return c.world.Issuing.Issue(c.t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "JADA123456789"}, NotBefore: now, NotAfter: now.Add(life),
	}, public{testpki.NewKey(c.t), q.CSR.PublicKey}).Certificate.Raw
}

// keepRenewed runs KeepRenewed in a bubble for a time and returns its error.
func (c *clocked) keepRenewed(t *testing.T, during time.Duration) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		first, bubble := *c.now.Load(), time.Now()
		c.config.Wait = nil
		c.config.Now = func() time.Time {
			now := first.Add(time.Since(bubble))
			c.now.Store(&now)
			return now
		}
		c.config.Report = func(s pledge.Step) {
			if s.Name == pledge.StepRenewed || s.Name == pledge.StepRenewalFailed {
				c.attempts = append(c.attempts, s.At)
			}
			c.steps = append(c.steps, s.Name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		err = c.pledge().KeepRenewed(ctx)
	})
	return err
}

// RFC 7030, Section 4.2.2: renewal is the device's to begin.
func TestLDevIDIsRenewedBetweenTwoThirdsAndThreeQuartersOfItsLife(t *testing.T) {
	c := newClocked(t, brskitest.New(t))
	before := *c.now.Load()
	first := c.status().Certificate
	at, err := c.pledge().RenewAt()
	if err != nil {
		t.Fatalf("RenewAt: %v", err)
	}
	if err := c.keepRenewed(t, 50*24*time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("KeepRenewed = %v, want %v", err, context.DeadlineExceeded)
	}
	if len(c.attempts) != 3 {
		t.Fatalf("renewals at %v, want 3 in 50 days", c.attempts)
	}
	if d := c.attempts[0].Sub(at); d < 0 || d > time.Minute {
		t.Errorf("renewed at %v, RenewAt said %v", c.attempts[0], at)
	}
	for _, renewed := range c.attempts {
		if age := renewed.Sub(before); age < lifetime/3*2-time.Minute || age > lifetime/4*3+time.Minute {
			t.Errorf("renewed after %v of %v, want two thirds to three quarters", age, lifetime)
		}
		before = renewed
	}
	if c.status().Certificate.Equal(first) {
		t.Errorf("the certificate is still the first one")
	}
}

func TestDevicesOfOneDayDoNotRenewTogether(t *testing.T) {
	w := brskitest.New(t)
	times := make(map[time.Duration]bool)
	for range 4 {
		d := newDevice(t, w)
		d.onboard()
		cert := d.status().Certificate
		at, err := d.pledge().RenewAt()
		if err != nil {
			t.Fatalf("RenewAt: %v", err)
		}
		if again, err := d.pledge().RenewAt(); err != nil || !again.Equal(at) {
			t.Errorf("RenewAt after a restart = %v, %v; want %v again", again, err, at)
		}
		times[at.Sub(cert.NotBefore)] = true
	}
	if len(times) != 4 {
		t.Errorf("4 devices renew at %d ages", len(times))
	}
}

// A registrar that says no or nothing is asked again, less and less often, but
// several times before the certificate ends; then the device says so.
func TestRenewalIsTriedUntilTheCertificateEndsAndNoLonger(t *testing.T) {
	for name, refusal := range map[string]error{
		"refused": &est.Error{Status: http.StatusForbidden, Reason: "no", Message: "No."},
		"failing": &est.Error{Status: http.StatusServiceUnavailable, Reason: "busy", Message: "Not now."},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			c := newClocked(t, w)
			end := c.status().Certificate.NotAfter
			w.Registrar.RefuseEnroll(refusal)
			var e *pledge.Error
			if err := c.keepRenewed(t, 2*lifetime); !errors.As(err, &e) || e.Reason != pledge.ReasonExpired {
				t.Fatalf("KeepRenewed = %v, want reason %q", err, pledge.ReasonExpired)
			}
			n := len(c.attempts)
			if n < 90 || n > 1000 {
				t.Fatalf("%d attempts in a quarter of %v, want about one an hour", n, lifetime)
			}
			if last := c.attempts[n-1]; last.Before(end) || last.After(end.Add(time.Minute)) {
				t.Errorf("the end was reported at %v, want it at %v", last, end)
			}
			for i := 1; i < n-1; i++ {
				if c.attempts[i].After(end) {
					t.Errorf("attempt at %v, after the end", c.attempts[i])
				}
				if gap := c.attempts[i].Sub(c.attempts[i-1]); gap > time.Hour || gap < time.Second {
					t.Errorf("gap %d = %v, want at most an hour", i, gap)
				}
			}
			if early, late := c.attempts[1].Sub(c.attempts[0]), c.attempts[20].Sub(c.attempts[19]); early > time.Minute || late < 40*time.Minute {
				t.Errorf("gaps = %v, then %v; want a minute at first and an hour later", early, late)
			}
		})
	}
}

func TestRenewalThatFailedIsTriedAgainAndThenKept(t *testing.T) {
	w := brskitest.New(t)
	c := newClocked(t, w)
	var asked atomic.Int32
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/simplereenroll") || asked.Add(1) > 3 {
			return false
		}
		http.Error(rw, "not now", http.StatusInternalServerError)
		return true
	})
	if err := c.keepRenewed(t, lifetime); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("KeepRenewed = %v", err)
	}
	if len(c.attempts) != 4 || asked.Load() != 4 {
		t.Errorf("attempts at %v, want 3 that fail and one that does not", c.attempts)
	}
}

// A registrar that answers with the certificate that it gave before is not
// asked in a loop.
func TestRenewalThatGivesTheSameTimeIsAFailure(t *testing.T) {
	w := brskitest.New(t)
	c := newClocked(t, w)
	end := c.status().Certificate.NotAfter
	w.Registrar.IssueWith(func(q *est.EnrollRequest) []byte { return c.issue(q, end.Sub(*c.now.Load())) })
	if err := c.keepRenewed(t, 16*24*time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("KeepRenewed = %v", err)
	}
	if n := len(w.Registrar.Enrollments()); n < 2 || n > 250 {
		t.Errorf("%d CSRs in some days, want about one an hour at most", n)
	}
}

func TestExpiredLDevIDIsSaidAtOnce(t *testing.T) {
	w := brskitest.New(t)
	c := newClocked(t, w)
	late := c.status().Certificate.NotAfter.Add(time.Hour)
	c.now.Store(&late)
	var e *pledge.Error
	if err := c.keepRenewed(t, time.Hour); !errors.As(err, &e) || e.Reason != pledge.ReasonExpired {
		t.Errorf("KeepRenewed = %v, want reason %q", err, pledge.ReasonExpired)
	}
	if n := len(w.Registrar.Enrollments()); n != 1 {
		t.Errorf("%d CSRs, want none after the first", n)
	}
}

func TestKeepRenewedNeedsAnLDevID(t *testing.T) {
	p := newDevice(t, brskitest.New(t)).pledge()
	_, err := p.RenewAt()
	for _, err := range []error{err, p.KeepRenewed(t.Context())} {
		var e *pledge.Error
		if !errors.As(err, &e) || e.Reason != pledge.ReasonNotEnrolled {
			t.Errorf("error = %v, want reason %q", err, pledge.ReasonNotEnrolled)
		}
	}
}

// RFC 8995, Section 2.6.1: a device whose clock says 1970 renews by how long it runs.
func TestDeviceWithoutClockRenewsByItsUptime(t *testing.T) {
	w := brskitest.New(t)
	c := newClocked(t, w)
	issued := c.status().Certificate.NotBefore
	if got := c.status().NotEarlier; got.Before(issued) {
		t.Errorf("NotEarlier = %v, want the beginning of the certificate, %v, or later", got, issued)
	}
	epoch := time.Unix(60, 0)
	c.config.NoClock = true
	c.now.Store(&epoch)
	w.Registrar.IssueWith(func(q *est.EnrollRequest) []byte {
		return c.world.Issuing.Issue(c.t, &x509.Certificate{
			Subject: pkix.Name{SerialNumber: "JADA123456789"}, NotBefore: issued.Add(lifetime / 10), NotAfter: issued.Add(2 * lifetime),
		}, public{testpki.NewKey(c.t), q.CSR.PublicKey}).Certificate.Raw
	})
	if err := c.keepRenewed(t, lifetime/4*3+time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("KeepRenewed = %v", err)
	}
	if len(c.attempts) != 1 || c.attempts[0].Before(epoch.Add(lifetime/3*2)) {
		t.Errorf("attempts at %v, want one after two thirds of %v since %v", c.attempts, lifetime, epoch)
	}
}
