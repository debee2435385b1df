package registrar_test

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// R1: who revokes a kind of certificates revokes those too that another CA has not given yet.
func TestAnOutstandingIssuanceOfARevokedKindIsForNobody(t *testing.T) {
	for _, restart := range []bool{false, true} {
		delegating(t, func(t *testing.T, h *house, u *upstream) {
			u.does(later(ca.ErrPending, 0, ""))
			key, innocent := testpki.NewKey(t), testpki.NewKey(t)
			ask := func() *request { return h.enroll("sensor-7").basic(group).withKey(key) }
			ask().refusedAs(registrar.ReasonIssuerPending, 202)
			other := func() *request { return h.enroll("sensor-8").basic(group).withKey(innocent) }
			other().refusedAs(registrar.ReasonIssuerPending, 202)
			many := &registrar.RevokeManyRequest{Actor: "test", Selection: registrar.Selection{Device: "sensor-7"}, DryRun: true}
			for _, dry := range []bool{true, false} {
				many.DryRun = dry
				out, err := h.service.RevokeMany(t.Context(), many)
				if err != nil || out.Stopped != 1 || out.Count != 0 {
					t.Fatalf("dry run %t: %+v, %v; want one stopped", dry, out, err)
				}
				if n := len(h.entries(registrar.KindIssuanceStopped)); dry == (n != 0) {
					t.Errorf("dry run %t: %d entries", dry, n)
				}
			}
			if restart {
				h.restart()
			}
			u.does(nil)
			h.pass(time.Minute)
			revoked, issued := h.certificates(registrar.Revoked), h.certificates(registrar.Issued)
			if len(revoked) != 1 || revoked[0].Subject != "CN=sensor-7" || len(issued) != 1 || issued[0].Subject != "CN=sensor-8" {
				t.Fatalf("revoked %+v, issued %+v", revoked, issued)
			}
			if told := u.heard(); len(told) != 1 || string(told[0].Raw) != string(revoked[0].Raw) {
				t.Errorf("the CA was told of %d certificates, want the one for nobody", len(told))
			}
			if cert := ask().mustSend(); string(cert.Raw) == string(revoked[0].Raw) {
				t.Error("the device got the certificate that is for nobody")
			}
			other().mustSend()
		})
	}
}

// generate asks the service for a key.
func (h *house) generate(name string) (*est.GeneratedKey, error) {
	csr, err := est.ParseCSR(testpki.CSR(h.t, h.enroll(name).csr, testpki.NewKey(h.t)))
	check(h.t, err)
	peer := &est.Peer{Address: netip.MustParseAddrPort("192.0.2.1:4711"), User: group, Secret: h.passwords[group], TLS: &tls.ConnectionState{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_256_GCM_SHA384, CurveID: tls.X25519,
	}}
	return h.service.GenerateKey(h.t.Context(), &est.KeyRequest{EnrollRequest: est.EnrollRequest{
		Request: est.Request{ID: "q", Operation: est.OpServerKeyGen, Peer: peer, At: h.now()}, CSR: csr,
	}})
}

// A key that was made here is gone with the answer that it could not be given in: its certificate is for nobody, and
// asking again makes another key. Another CA that answers at once is like one here.
func TestAGeneratedKeyWhoseCertificateComesLaterIsForNobody(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		h.issuer = h.newIssuer(profile.Device(), profile.LDevID(), raProfile())
		u.does(later(ca.ErrPending, 0, ""))
		_, err := h.generate("sensor-7")
		if e := refusal(t, err, registrar.ReasonKeyGenLater, 503); e.RetryAfter <= 0 {
			t.Error("503 without Retry-After")
		}
		u.does(nil)
		h.pass(time.Minute)
		lost := h.one(registrar.Revoked)
		if told := u.heard(); len(told) != 1 || string(told[0].Raw) != string(lost.Raw) {
			t.Errorf("the CA was told of %d certificates, want the lost one", len(told))
		}
		k, err := h.generate("sensor-7")
		if err != nil {
			t.Fatalf("asked again, and the CA signs at once: %v", err)
		}
		synctest.Wait()
		issued := h.certificates(registrar.Issued)
		if len(issued) != 1 || string(issued[0].Raw) != string(k.Certificate) || len(h.certificates(registrar.Revoked)) != 1 {
			t.Errorf("%d issued, want the one that was handed out", len(issued))
		}
		if left, err := h.store.ListOutstanding(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("%d are outstanding, %v", len(left), err)
		}
	})
}

// A code is spent in the background when the CA's certificate comes there, once, for the key that it was asked with.
func TestACodeIsSpentWhenTheCertificateComesInTheBackground(t *testing.T) {
	for _, restart := range []bool{false, true} {
		delegating(t, func(t *testing.T, h *house, u *upstream) {
			h.settings.Labels["codes"] = &registrar.Label{Profile: h.profile("device"), Codes: true, Issuer: "upstream"}
			check(t, h.service.Reload(h.settings))
			code := h.code("dev-9")
			u.does(later(ca.ErrPending, 0, ""))
			r := h.coded("dev-9", "dev-9", code, false)
			r.refusedAs(registrar.ReasonIssuerPending, 202)
			if k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9"); err != nil || k.Spent() {
				t.Fatalf("before there is a certificate: %+v, %v", k, err)
			}
			if restart {
				h.restart()
			}
			u.does(nil)
			h.pass(time.Minute)
			row := h.one(registrar.Issued)
			if k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9"); err != nil || !k.Spent() || k.SpentKey != row.KeyHash {
				t.Errorf("the code is %+v, %v; want it spent for the key", k, err)
			}
			h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonCodeSpent, 403) // another key
			if cert := r.mustSend(); string(cert.Raw) != string(row.Raw) {
				t.Error("the device got another certificate")
			}
			h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonCodeSpent, 403)
			h.one(registrar.Issued)
		})
	}
}

// The CA behind an issuer changes its key while we run: what it issues is on record under the new key, renews, and
// is told apart from what has the same serial number by the old one.
func TestACertificateOfACAThatChangedItsKeyIsOnRecordUnderTheNewKey(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		old := h.enroll("sensor-1").basic(group).mustSend()
		before := u.ca
		root := testpki.NewRoot(t, "upstream root")
		u.mu.Lock()
		u.ca, u.number = root.NewIntermediate(t, "upstream CA"), old.SerialNumber.Int64()-1
		u.mu.Unlock()
		fresh := h.enroll("sensor-2").basic(group).mustSend()
		if fresh.SerialNumber.Cmp(old.SerialNumber) != 0 {
			t.Fatal("the test wants one serial number twice")
		}
		for _, row := range h.certificates(registrar.Issued) {
			want := registrar.AuthorityOf(u.ca.Certificate)
			if row.Subject == "CN=sensor-1" {
				want = registrar.AuthorityOf(before.Certificate)
			}
			if row.Authority != want {
				t.Errorf("%s is on record by %s, want %s", row.Subject, row.Authority, want)
			}
		}
		h.pass(time.Minute) // the settings are looked at anew
		ref := registrar.CertificateRef{Serial: old.SerialNumber.Bytes(), Authority: registrar.AuthorityOf(before.Certificate)}
		h.renew(fresh).mustSend()
		_, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref, Reason: 1})
		check(t, err)
		h.renew(fresh).mustSend()
		for _, row := range h.certificates(registrar.Revoked) {
			if string(row.Raw) != string(old.Raw) {
				t.Errorf("%s is revoked", row.Subject)
			}
		}
	})
}
