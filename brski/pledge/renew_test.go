package pledge_test

import (
	"bytes"
	"context"
	"crypto/x509"
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
	for _, name := range []string{"next.key", "next.pem", "nextcas.pem"} {
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

// member is somebody in the domain with a server certificate for the
// registrar's address, and an EST server of its own.
func member(t *testing.T, w *brskitest.World) string {
	t.Helper()
	id := w.Issuing.Server(t, "a member")
	return brskitest.Serve(t, id, &est.Handler{Backend: impostor{testpki.NewRoot(t, "evil").Certificate}})
}

type impostor struct{ ca *x509.Certificate }

func (i impostor) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{i.ca}, nil
}

func (i impostor) Enroll(context.Context, *est.EnrollRequest) ([]byte, error) {
	return nil, &est.Error{Status: 500}
}

// RFC 8995, Section 5.6.2: a name is what any member may have.
func TestAMemberWithTheRegistrarsNameIsNoRegistrarOfEnrolledPledges(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	before := d.file(pledge.FileCACerts)
	d.config.RegistrarURL = member(t, w)
	_, err := d.pledge().Renew(context.Background())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonNotPinned {
		t.Errorf("Renew at a member of the domain = %v, want reason %q", err, pledge.ReasonNotPinned)
	}
	if !bytes.Equal(d.file(pledge.FileCACerts), before) {
		t.Error("the CA certificates were replaced")
	}
}

// RFC 7030, Section 4.1.3: a domain that changes its root leads there.
func TestRenewTakesCACertificatesThatFollowFromThoseItHas(t *testing.T) {
	for name, c := range map[string]struct {
		next func(w *brskitest.World, next *testpki.Identity) []*x509.Certificate
		ok   bool
	}{
		"another root alone": {func(_ *brskitest.World, next *testpki.Identity) []*x509.Certificate {
			return []*x509.Certificate{next.Certificate}
		}, false},
		"another root of the same name": {func(w *brskitest.World, _ *testpki.Identity) []*x509.Certificate {
			return []*x509.Certificate{testpki.NewRoot(t, w.Domain.Certificate.Subject.CommonName).Certificate}
		}, false},
		"beside the old one": {func(w *brskitest.World, next *testpki.Identity) []*x509.Certificate {
			return []*x509.Certificate{next.Certificate, w.Issuing.Certificate, w.Domain.Certificate}
		}, true},
		"signed by the old one": {func(w *brskitest.World, next *testpki.Identity) []*x509.Certificate {
			template := *next.Certificate
			template.SerialNumber = nil
			return []*x509.Certificate{next.Certificate, w.Issuing.Certificate, w.Domain.Issue(t, &template, next.Key).Certificate}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			d.onboard()
			before, next := d.file(pledge.FileCACerts), testpki.NewRoot(t, "next root")
			cas := c.next(w, next)
			w.Registrar.SetCACerts(cas)
			if name == "signed by the old one" { // the issuing CA is below the next root from now on
				template := *w.Issuing.Certificate
				template.SerialNumber = nil
				cas[1] = next.Issue(t, &template, w.Issuing.Key).Certificate
			}
			result, err := d.pledge().Renew(context.Background())
			if c.ok {
				if err != nil || len(result.CACerts) != len(cas) || bytes.Equal(d.file(pledge.FileCACerts), before) {
					t.Errorf("Renew = %v, %v; want the new CA certificates", result, err)
				}
				return
			}
			var e *pledge.Error
			if !errors.As(err, &e) || e.Reason != pledge.ReasonCACerts {
				t.Errorf("Renew = %v, want reason %q", err, pledge.ReasonCACerts)
			}
			if !bytes.Equal(d.file(pledge.FileCACerts), before) {
				t.Error("the CA certificates were replaced")
			}
		})
	}
}

func TestRenewThatIsRefusedKeepsTheOldCACertificates(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	before := d.file(pledge.FileCACerts)
	w.Registrar.SetCACerts(append(d.status().CACerts, testpki.NewRoot(t, "next root").Certificate))
	w.Registrar.RefuseEnroll(&est.Error{Status: 403, Reason: "no", Message: "No."})
	if _, err := d.pledge().Renew(context.Background()); !errors.Is(err, pledge.ErrRefused) {
		t.Errorf("Renew = %v, want %v", err, pledge.ErrRefused)
	}
	if !bytes.Equal(d.file(pledge.FileCACerts), before) {
		t.Error("the CA certificates were replaced without a certificate that follows from them")
	}
}
