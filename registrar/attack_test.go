package registrar_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// An approval is for what a label issues: the certificate of a label that asks nobody is none for one that does.
func TestACertificateOfAnotherLabelIsNoApproval(t *testing.T) {
	h := newHouse(t, func(h *house) {
		server := profile.Device()
		server.Name = "server"
		h.issuer = h.newIssuer(profile.Device(), profile.LDevID(), raProfile(), server)
		h.settings.Labels["server"] = &registrar.Label{Profile: h.profile("server"), Basic: true, Approval: true}
	})
	r := h.enroll(alone).basic(alone)
	r.mustSend()
	if _, err := r.label("server").send(); err == nil {
		t.Fatal("a certificate was issued that waits for nobody's approval")
	} else {
		refusal(t, err, registrar.ReasonApproval, 202)
	}
}

// A device that may enroll its own name only does not get others by renewing (R9, R13).
func TestANameChangeAddsOwnNamesOnly(t *testing.T) {
	h := newHouse(t, changing(nil))
	r := h.enroll(alone).basic(alone)
	cert := r.mustSend()
	for _, name := range []string{"sensor-8", "mail.example.com"} {
		if _, err := h.rename(cert, &pkix.Name{CommonName: alone}, name); err == nil {
			t.Errorf("%s got the name %s", alone, name)
		} else {
			refusal(t, err, registrar.ReasonForeignName, 403)
		}
	}
	if _, err := h.rename(cert, &pkix.Name{CommonName: alone}, alone+".lab.example"); err != nil {
		t.Errorf("a name of its own: %v", err)
	}
	// What the certificate has it keeps.
	cert, _ = h.enrolled("sensor-7")
	h.settings.Labels[""].Basic = false
	if _, err := h.rename(cert, &pkix.Name{CommonName: "sensor-7"}, cert.DNSNames[0], "sensor-7"); err != nil {
		t.Errorf("a name that it has, and one of its own: %v", err)
	}
}

// The grace of a certificate past its end is for its own renewal: an RA speaks for nobody then, by CMC as by simpleenroll (R19).
func TestAnRAPastItsEndSpeaksForNobody(t *testing.T) {
	h := newCMCHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.Renewal.ExpiredGrace = "7d" })
	})
	ra, raKey := h.raCertificate()
	h.clock.Store(ra.NotAfter.Add(time.Hour).UnixNano())
	before := len(h.certificates(""))
	inner := h.full().own(1, "sensor-1", testpki.NewKey(t)).message()
	f := h.full().signed(ra, raKey).nest(11, inner)
	f.renewal(1, ra, nil)
	f.send()
	change := &cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: subjectOf(t, "sensor-9")}}
	f = h.full().signed(ra, raKey).with(change)
	f.renewal(1, ra, nil)
	f.send()
	if n := len(h.certificates("")) - before; n != 0 {
		t.Errorf("%d certificates on the word of an RA whose certificate has ended", n)
	}
}

// R10: who renews an RA's certificate is the RA, and not whose message it passes on.
func TestAnRAsCertificateIsNotRenewedByWhomItVouchesFor(t *testing.T) {
	h := newCMCHouse(t, func(h *house) {
		l := h.settings.Labels["ra"]
		l.RA, l.Renewal, l.FullCMC = true, true, true
	})
	ra, raKey := h.raCertificate()
	old, oldKey := h.enrolled("sensor-8")
	inner := h.full().signed(old, oldKey)
	inner.renewal(1, ra, nil)
	f := h.full().signed(ra, raKey).nest(11, inner.message()).with(cmc.RAIdentityWitness{11})
	f.label = "ra"
	f.send()
	for _, row := range h.certificates(registrar.Issued) {
		if row.Operation == registrar.OpRenew {
			t.Errorf("renewed with a device's key: %s", row.Subject)
		}
	}
}

// RFC 7894, Section 2: a code that is there holds, or nothing is issued, on every road (R19).
func TestACodeThatNobodyLooksAtIsRefusedOnEveryRoad(t *testing.T) {
	h := newCMCHouse(t, func(h *house) { h.settings.Labels[""].Codes = true })
	cert, _ := h.enrolled("sensor-1")
	r := h.renew(cert)
	r.otp = "WRONG-WRONG-WRONG-WRONG"
	if _, err := r.send(); err == nil {
		t.Error("a renewal with a wrong code got a certificate")
	}
	before := len(h.certificates(""))
	key := testpki.NewKey(t)
	der, err := est.CreateCSR(key, &est.CSRRequest{
		Own:        &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-7"}},
		Attributes: []est.Attribute{{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 56}, Values: [][]byte{marshal(t, "WRONG-WRONG-WRONG-WRONG")}}},
	})
	check(t, err)
	q, err := cmc.NewPKCS10(1, der)
	check(t, err)
	f := h.full()
	f.data.Requests = []cmc.Request{q}
	f.signed(selfSigned(t, key), key).proving("sensor-7", sensorSecret).send()
	if n := len(h.certificates("")) - before; n != 0 {
		t.Error("a shared secret with a wrong code got a certificate")
	}
}

// Promise 4 of the design: a peer that is known is named on the trail when it is refused, by CMC too.
func TestARefusalOfAKnownPeerByCMCIsOnTheTrail(t *testing.T) {
	h := newCMCHouse(t, nil)
	one, oneKey := h.enrolled("sensor-1")
	two, _ := h.enrolled("sensor-2")
	f := h.full().signed(one, oneKey)
	f.renewal(1, one, nil)
	f.proving("sensor-7", "a secret that is wrong").send().says(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 1)
	if n := len(h.entries(registrar.KindRefused)); n != 1 {
		t.Errorf("%d refusals on the trail of a signer with a wrong identity proof", n)
	}
	f = h.full().signed(one, oneKey).tls(two)
	f.renewal(1, one, nil)
	f.send().says(registrar.ReasonCMCIdentity, cmc.FailBadIdentity, 1)
	if n := len(h.entries(registrar.KindRefused)); n != 2 {
		t.Errorf("%d refusals on the trail, that of a connection with another's message among them", n-1)
	}
}

// R18: an RA's orders about requests are bounded in all, and not by how many there are in one control only.
func TestAnRAsOrdersAreBounded(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	inner := h.full()
	inner.data.Requests = []cmc.Request{crmf(t, 1, "sensor-1", testpki.NewKey(t), nil, false)}
	key := testpki.NewKey(t)
	f := h.full().signed(ra, raKey).nest(11, inner.signed(selfSigned(t, key), key).message())
	ids := make([]cmc.BodyPartID, cmc.MaxReferences)
	for i := range ids {
		ids[i] = 1
	}
	for range 8 {
		f.with(&cmc.AddExtensions{PKIData: 11, Requests: ids, Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: []byte{4, 0}}}})
	}
	if a := f.send(); a.refusal == nil || a.refusal.Reason != registrar.ReasonCMCTooMany {
		t.Errorf("2048 orders: %d %v", a.status, a.refusal)
	}
}

// R18: each passphrase of a message is a guess, and each counts.
func TestAPassphraseUsesTheAddressesBudget(t *testing.T) {
	h := newCMCHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerAddress = 5 })
	h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret).send().granted(1)
	var cert *x509.Certificate
	for _, row := range h.certificates(registrar.Issued) {
		c, err := x509.ParseCertificate(row.Raw)
		check(t, err)
		cert = c
	}
	f := h.full()
	for range 8 {
		f.with(h.revocation(cert, "sixteen chars no"))
	}
	key := testpki.NewKey(t)
	f.signed(selfSigned(t, key), key).with(h.revocation(cert, sensorSecret)).send()
	if len(h.certificates(registrar.Revoked)) != 0 {
		t.Error("the ninth passphrase of a message was looked at, with a budget of five")
	}
}

// An approval of a generated key is for one: after its revocation the next one waits anew.
func TestAnApprovalOfAGeneratedKeyIsForOneKey(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	ask := h.as(h.serve(), alone)
	if _, err := ask.ServerKeyGen(t.Context(), named(alone)); err == nil {
		t.Fatal("a key before the approval")
	}
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	check(t, err)
	_, err = h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: rows[0].ID})
	check(t, err)
	k, err := ask.ServerKeyGen(t.Context(), named(alone))
	check(t, err)
	_, err = h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: k.Certificate.SerialNumber.Bytes()}})
	check(t, err)
	if _, err := ask.ServerKeyGen(t.Context(), named(alone)); err == nil {
		t.Error("another key for the approval of the first one")
	}
}

// R19: what is a password is none the less because it has the form of a code.
func TestAPasswordInTheFormOfACodeIsNoGuess(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Codes = true })
	const form = "ABCDEFGHJKMNPQRSTVWX"
	h.passwords["line"] = h.credential("line", true, form)
	for i := range 12 {
		if _, err := h.enroll("sensor-" + string(rune('a'+i))).basic("line").send(); err != nil {
			t.Fatalf("enrollment %d with a right password: %v", i+1, err)
		}
	}
	// Wrong ones are guesses, however they are looked at.
	r := h.enroll("sensor-z").basic("line")
	r.peer.Secret = "ABCDEFGHJKMNPQRSTVWY"
	for range 10 {
		r.refusedAs(registrar.ReasonBadCredentials, 401)
	}
	if _, err := r.send(); err == nil {
		t.Error("a wrong password")
	}
}

// R13, R14: a serial number in a HardwareModuleName (RFC 4108, Section 5) is a name like any other.
func TestAHardwareModuleOfAnotherDeviceIsAForeignName(t *testing.T) {
	hwType := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.SAN.HardwareModule = &profile.HardwareModuleRule{Request: true, Types: []string{hwType.String()}}
		})
	})
	ask := func(serial string) *request {
		name, err := profile.HardwareModuleName(hwType, []byte(serial))
		check(t, err)
		r := h.enroll(alone).basic(alone)
		san := marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: name})
		r.csr.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
		return r
	}
	ask("dev-2").refusedAs(registrar.ReasonForeignName, 403)
	if cert := ask(alone).mustSend(); !bytes.Contains(sanOf(cert)[0].Value, []byte(alone)) {
		t.Error("the certificate lacks the serial number of the module")
	}
}

// A name that the profile gives by itself does not stand in the way of a change of the others.
func TestANameChangeKeepsWhatTheProfileGives(t *testing.T) {
	h := newHouse(t, changing(func(d *profile.Document) {
		d.SAN.HardwareModule = &profile.HardwareModuleRule{Types: []string{"1.3.6.1.4.1.99999.1"}, Serial: "module of {serial_number}"}
	}))
	r := h.enroll(alone).basic(alone).dns(alone + ".old.example")
	cert := r.mustSend()
	if _, err := h.rename(cert, &pkix.Name{CommonName: alone}); err != nil {
		t.Errorf("without a name that it had: %v", err)
	}
}

// A CA that does not sign lists at the moment, or takes its time, does not keep the one that is current from anybody.
func TestACurrentCRLIsThereWhileTheCASignsNone(t *testing.T) {
	var broken *crlBroken
	h := newHouse(t, func(h *house) {
		broken = &crlBroken{CA: h.issuer, asked: make(chan struct{}), answer: make(chan struct{})}
		h.settings.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: broken}
	})
	first, err := h.service.CRLs(t.Context(), h.question(est.OpCRLs))
	check(t, err)
	broken.on = true
	h.advance(4 * 24 * time.Hour) // of 7
	got := make(chan error)
	ask := func() {
		lists, err := h.service.CRLs(t.Context(), h.question(est.OpCRLs))
		if err == nil && !bytes.Equal(lists[0], first[0]) {
			err = errors.New("another list")
		}
		got <- err
	}
	go ask()
	<-broken.asked
	go ask()
	if err := <-got; err != nil {
		t.Errorf("while the CA takes its time: %v", err)
	}
	close(broken.answer)
	if err := <-got; err != nil {
		t.Errorf("where the CA signs none: %v", err)
	}
}

// crlBroken is a CA that signs no lists once it is on, and says so when it is let.
type crlBroken struct {
	*localca.CA
	on            bool
	asked, answer chan struct{}
}

func (b *crlBroken) CRL(ctx context.Context, list *ca.RevocationList) ([]byte, error) {
	if !b.on {
		return b.CA.CRL(ctx, list)
	}
	close(b.asked)
	<-b.answer
	return nil, errors.New("the token is locked")
}
