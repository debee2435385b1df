package pledge_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// RFC 7030, Section 4.2.2.
func TestRenewKeepsTheNamesAndChangesTheKey(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	old := d.onboard().Certificate
	result, err := d.pledge().Renew(context.Background())
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	d.checkWhole(result)
	renewed := result.Certificate
	if !bytes.Equal(renewed.RawSubject, old.RawSubject) || bytes.Equal(renewed.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) {
		t.Errorf("renewed = %v, want the subject %v and another key", renewed.Subject, old.Subject)
	}
	e := w.Registrar.Enrollments()
	last := e[len(e)-1]
	if last.Operation != est.OpSimpleReenroll || !last.Peer.Certificates[0].Equal(old) {
		t.Errorf("the last enrollment was a %s by %v, want a simplereenroll by the old certificate", last.Operation, last.Peer.Certificates[0].Subject)
	}
	s := w.Registrar.EnrollStatuses()
	if len(s) != 2 || !s[1].Peer.Certificates[0].Equal(renewed) {
		t.Errorf("%d enrollstatus posts, want 2, the second over the new certificate", len(s))
	}
	for _, name := range []string{"next.key", "next.pem"} {
		if _, err := d.memory.Load(name); err == nil {
			t.Errorf("%s was left behind", name)
		}
	}
}

func TestRenewWithAKeyThatLivesElsewhereKeepsTheKey(t *testing.T) {
	w := brskitest.New(t)
	key := testpki.NewKey(t)
	d := newDevice(t, w, func(c *pledge.Config) { c.Key = key })
	d.onboard()
	result, err := d.pledge().Renew(context.Background())
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	if !sameKey(t, key, result.Certificate) {
		t.Errorf("the renewed certificate is for another key than Config.Key")
	}
}

func TestRenewNeedsAnLDevID(t *testing.T) {
	d := newDevice(t, brskitest.New(t))
	_, err := d.pledge().Renew(context.Background())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonNotEnrolled {
		t.Errorf("Renew = %v, want reason %q", err, pledge.ReasonNotEnrolled)
	}
}

func TestRenewThatIsRefusedKeepsTheOldCertificate(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	old := d.onboard().Certificate
	w.Registrar.RefuseEnroll(&est.Error{Status: 403, Reason: "no", Message: "No."})
	_, err := d.pledge().Renew(context.Background())
	if !errors.Is(err, pledge.ErrRefused) {
		t.Errorf("Renew = %v, want %v", err, pledge.ErrRefused)
	}
	if s := d.status(); !s.Certificate.Equal(old) || s.Stage != pledge.Enrolled {
		t.Errorf("Status = %q, %v, want the old certificate", s.Stage, s.Certificate.Subject)
	}
}

func TestRenewTalksToTheDomainOnly(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	stranger := brskitest.New(t)
	d.config.RegistrarURL = stranger.URL
	_, err := d.pledge().Renew(context.Background())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonNotPinned {
		t.Errorf("Renew with another domain's registrar = %v, want reason %q", err, pledge.ReasonNotPinned)
	}
	if n := len(stranger.Registrar.Enrollments()); n != 0 {
		t.Errorf("the stranger got %d CSRs", n)
	}
}
