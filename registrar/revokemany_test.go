package registrar_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// R1: a certificate that was revoked, or put on hold, authenticates no operation
// from the moment the call returns, on a connection that was there before too.
func TestARevokedOrHeldCertificateAuthenticatesNothing(t *testing.T) {
	for reason, refusedAs := range map[int]string{1: registrar.ReasonRevoked, registrar.ReasonHold: registrar.ReasonOnHold} {
		h := newHouse(t, nil)
		cert := h.enroll("sensor-7").basic(group).mustSend()
		h.renew(cert).mustSend() // the chain is known now, and the row in memory
		ref := registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}
		_, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref, Reason: reason})
		check(t, err)
		h.renew(cert).refusedAs(refusedAs, 403)
		h.enroll("sensor-7").cert(cert).refusedAs(refusedAs, 403)
		h.enroll("sensor-7").cert(cert).basic(group).refusedAs(refusedAs, 403)
		_, err = h.service.CSRAttrs(t.Context(), h.question(est.OpCSRAttrs, cert))
		refusal(t, err, refusedAs, 403)
		_, err = h.service.Packages(t.Context(), h.question(est.OpSimpleEnroll, cert))
		refusal(t, err, refusedAs, 403)
		_, err = h.service.Release(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref})
		if reason == registrar.ReasonHold {
			check(t, err)
			h.renew(cert).mustSend()
		} else if !errors.Is(err, registrar.ErrConflict) {
			t.Errorf("Release of a revoked certificate: %v, want ErrConflict", err)
		}
	}
}

// R11: what authenticates is the whole certificate: the same serial number, key
// identifier and names with another key, or by another issuer of ours, is another
// certificate; and to revoke by serial number alone is refused where two have it.
func TestTheSameSerialNumberIsAnotherCertificate(t *testing.T) {
	u := newUpstream(t)
	h := newHouse(t, func(h *house) {
		u.h = h
		h.settings.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer, "upstream": u}
		h.settings.Labels["up"] = &registrar.Label{Profile: h.profile("device"), Basic: true, Renewal: true, Issuer: "upstream"}
	})
	mine := h.enroll("sensor-7").basic(group).mustSend()
	u.number = new(big.Int).Set(mine.SerialNumber).Int64()
	twin := func(by *testpki.Identity) *x509.Certificate {
		return by.Issue(t, &x509.Certificate{
			Subject: mine.Subject, SerialNumber: mine.SerialNumber, SubjectKeyId: mine.SubjectKeyId, ExtKeyUsage: mine.ExtKeyUsage,
		}, testpki.NewKey(t)).Certificate
	}
	h.renew(twin(h.ca)).refusedAs(registrar.ReasonNotOnRecord, 403)
	h.renew(twin(u.ca)).refusedAs(registrar.ReasonNotOnRecord, 403)
	theirs := twin(u.ca)
	u.does(func(r *ca.Request) (*ca.Certificate, error) {
		template := &x509.Certificate{Subject: pkix.Name{CommonName: "sensor-8"}, SerialNumber: mine.SerialNumber, ExtKeyUsage: mine.ExtKeyUsage}
		theirs = u.ca.Issue(t, template, &publicOnly{r}).Certificate
		return &ca.Certificate{Raw: theirs.Raw, Serial: theirs.SerialNumber.Bytes(), NotBefore: theirs.NotBefore, NotAfter: theirs.NotAfter}, nil
	})
	h.enroll("sensor-8").basic(group).label("up").mustSend()
	ref := registrar.CertificateRef{Serial: mine.SerialNumber.Bytes()}
	if _, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref}); !errors.Is(err, registrar.ErrConflict) {
		t.Fatalf("Revoke of a serial number that two have: %v, want ErrConflict", err)
	}
	ref.Issuer = "upstream"
	row, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref})
	check(t, err)
	if string(row.Raw) != string(theirs.Raw) {
		t.Error("another one was revoked")
	}
	h.renew(theirs).label("up").refusedAs(registrar.ReasonRevoked, 403)
	h.renew(mine).mustSend()
}

func TestCertificatesAreRevokedByWhatTheyHaveInCommon(t *testing.T) {
	h := newHouse(t, nil)
	one, two := h.enroll("sensor-1").basic(group).mustSend(), h.enroll("sensor-2").basic(group).mustSend()
	other := h.enroll(alone).basic(alone).mustSend()
	key := sha256.Sum256(two.RawSubjectPublicKeyInfo)
	for what, c := range map[string]struct {
		sel  registrar.Selection
		want int
	}{
		"a device":     {registrar.Selection{Device: "sensor-1"}, 1},
		"a key":        {registrar.Selection{KeyHash: key[:]}, 1},
		"a credential": {registrar.Selection{Credential: "basic:" + group}, 2},
		"two of them":  {registrar.Selection{Credential: "basic:" + group, Device: "sensor-2"}, 1},
		"a label":      {registrar.Selection{Label: new(string)}, 3},
		"a profile":    {registrar.Selection{Profile: "device"}, 3},
		"an issuer":    {registrar.Selection{Issuer: registrar.DefaultIssuer}, 3},
	} {
		out, err := h.service.RevokeMany(t.Context(), &registrar.RevokeManyRequest{Actor: "test", Selection: c.sel, DryRun: true})
		if err != nil || out.Count != c.want || len(out.Certificates) != c.want {
			t.Errorf("%s: %+v, %v; want %d", what, out, err, c.want)
		}
	}
	if n := len(h.certificates(registrar.Revoked)); n != 0 {
		t.Fatalf("dry runs revoked %d", n)
	}
	if _, err := h.service.RevokeMany(t.Context(), &registrar.RevokeManyRequest{Actor: "test"}); !errors.Is(err, registrar.ErrInvalid) {
		t.Errorf("everything at once: %v, want ErrInvalid", err)
	}
	out, err := h.service.RevokeMany(t.Context(), &registrar.RevokeManyRequest{Actor: "test", Selection: registrar.Selection{Credential: "basic:" + group}, Reason: 5})
	if err != nil || out.Count != 2 {
		t.Fatalf("RevokeMany: %+v, %v", out, err)
	}
	h.renew(one).refusedAs(registrar.ReasonRevoked, 403)
	h.renew(two).refusedAs(registrar.ReasonRevoked, 403)
	h.renew(other).mustSend()
	if n := len(h.entries(registrar.KindCertificateRevoked)); n != 2 {
		t.Errorf("%d entries, want one for each", n)
	}
}
