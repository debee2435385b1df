package registrar_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

func approving(h *house) { h.settings.Labels[""].Approval = true }

// EST-5272-6.1-02, EST-5272-6.13-01: what waits has a token, with 202; asked about again, after
// a restart too, the token is the same; after the operator's word it gets the certificate.
func TestARequestThatWaitsIsAskedAboutByItsToken(t *testing.T) {
	h := newCMCHouse(t, approving)
	key := testpki.NewKey(t)
	a := h.full().basic(group).own(1, "sensor-7", key).send()
	if a.status != 202 || a.refusal.RetryAfter <= 0 {
		t.Fatalf("status %d, retry after %s", a.status, a.refusal.RetryAfter)
	}
	token := a.pending(h)
	query := func() *fullAnswer {
		f := h.full().basic(group).with(cmc.QueryPending(token))
		f.key, f.ski = key, keyID(t, key)
		return f.send()
	}
	if again := query().pending(h); !bytes.Equal(again, token) {
		t.Errorf("asked again the token is %q, it was %q", again, token)
	}
	h.service.Close()
	h.start()
	if again := query().pending(h); !bytes.Equal(again, token) {
		t.Errorf("after a restart the token is %q, it was %q", again, token)
	}
	h.waitingRow()
	_, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token)})
	check(t, err)
	cert := query().granted().certificate(key)
	if again := query().granted().certificate(key); !again.Equal(cert) {
		t.Error("the token got another certificate the second time")
	}
	// R19: simpleenroll by the same credential is answered with the same.
	if same := h.enroll("sensor-7").basic(group).withKey(key).mustSend(); !same.Equal(cert) {
		t.Error("simpleenroll got another certificate")
	}
}

// EST-5272-6.13-01: a token that nobody gave, and one that was denied.
func TestAnUnknownOrDeniedTokenIsRefused(t *testing.T) {
	h := newCMCHouse(t, approving)
	key := testpki.NewKey(t)
	h.full().basic(group).with(cmc.QueryPending("token")).signed(selfSigned(t, key), key).send().
		refused(registrar.ReasonCMCToken, cmc.FailBadRequest, 104)
	token := h.full().basic(group).own(1, "sensor-7", key).send().pending(h)
	_, err := h.service.Deny(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token), Reason: "not ours"})
	check(t, err)
	h.full().basic(group).with(cmc.QueryPending(token)).signed(selfSigned(t, key), key).send().
		refused(registrar.ReasonApprovalDenied, cmc.FailBadIdentity, 104)
}

// A token is of use to who got it, and to nobody else.
func TestATokenIsOfUseToItsOwnerOnly(t *testing.T) {
	h := newCMCHouse(t, approving)
	key := testpki.NewKey(t)
	token := h.full().basic(group).own(1, "sensor-7", key).send().pending(h)
	_, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token)})
	check(t, err)
	f := h.full().basic(alone).with(cmc.QueryPending(token))
	f.signed(selfSigned(t, key), key).send().refused(registrar.ReasonCMCTokenOther, cmc.FailBadIdentity, 104)
	other := testpki.NewKey(t)
	f = h.full().with(cmc.QueryPending(token))
	f.signed(selfSigned(t, other), other).proving("factory", factorySecret).send().refused(registrar.ReasonCMCTokenOther, cmc.FailBadIdentity, 104)
	h.none()
}

// A request in CRMF, and one that an RA has changed, wait as others do.
func TestWhatWaitsIsWhatWasAsked(t *testing.T) {
	h := newCMCHouse(t, approving)
	key := testpki.NewKey(t)
	f := h.full().own(9, "unused", key)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-7", key, key, false)}
	token := f.proving("factory", factorySecret).send().pending(h)
	_, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token)})
	check(t, err)
	f = h.full().with(cmc.QueryPending(token))
	f.key, f.ski = key, keyID(t, key)
	f.proving("factory", factorySecret).send().granted(104).certificate(key)

	ra, raKey := h.raCertificate()
	f = h.full().signed(ra, raKey)
	key = f.named(1, "as the device says")
	f.with(&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: subjectOf(t, "sensor-8")}})
	token = f.send().pending(h)
	if row := h.waitingRow(); row.SerialNumber != "sensor-8" {
		t.Errorf("%s waits", row.SerialNumber)
	}
	_, err = h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token)})
	check(t, err)
	cert := h.full().signed(ra, raKey).with(cmc.QueryPending(token)).send().granted(104).certificate(key)
	if cert.Subject.CommonName != "sensor-8" {
		t.Errorf("certificate for %s", cert.Subject)
	}
}

// What an operator has approved is issued once, however it is asked for.
func TestAnApprovedRequestIsIssuedOnceOnEveryRoad(t *testing.T) {
	h := newCMCHouse(t, approving)
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonApproval, 202)
	row := h.waitingRow()
	_, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: row.ID})
	check(t, err)
	f := h.full().basic(group)
	f.csr(1, &x509.CertificateRequest{Subject: r.csr.Subject}, r.key)
	cert := f.signed(selfSigned(t, r.key), r.key).send().granted(1).certificate(r.key)
	if same := r.mustSend(); !same.Equal(cert) {
		t.Error("two certificates for one approval")
	}
}

// What waits for another system is asked about as what waits for an operator.
func TestWhatWaitsForAnotherSystemIsAskedAboutByItsToken(t *testing.T) {
	o := &oracle{answer: waiting}
	h := newCMCHouse(t, func(h *house) { h.settings.Labels[""].Ask = o.ask })
	key := testpki.NewKey(t)
	token := h.full().basic(group).own(1, "sensor-7", key).send().pending(h)
	query := func(user string) *fullAnswer {
		f := h.full().basic(user).with(cmc.QueryPending(token))
		f.key, f.ski = key, keyID(t, key)
		return f.send()
	}
	if again := query(group).pending(h); !bytes.Equal(again, token) {
		t.Errorf("asked again the token is %q, it was %q", again, token)
	}
	o.answer = allowed
	query(group).granted(104).certificate(key)
	query(alone).refused(registrar.ReasonCMCTokenOther, cmc.FailBadIdentity, 104)
}

// What waits for the CA has no row on record; its token is good nevertheless.
func TestWhatWaitsForTheCAIsAskedAboutByItsToken(t *testing.T) {
	slow := &laterIssuer{}
	h := newCMCHouse(t, func(h *house) {
		slow.Issuer, h.settings.Issuers = h.issuer, map[string]ca.Issuer{registrar.DefaultIssuer: slow}
	})
	slow.pending = true
	key := testpki.NewKey(t)
	token := h.full().basic(group).own(1, "sensor-7", key).send().pending(h)
	query := func(user string) *fullAnswer {
		f := h.full().basic(user).with(cmc.QueryPending(token))
		f.key, f.ski = key, keyID(t, key)
		return f.send()
	}
	if again := query(group).pending(h); !bytes.Equal(again, token) {
		t.Errorf("asked again the token is %q, it was %q", again, token)
	}
	slow.pending = false
	query(alone).refused(registrar.ReasonForeignName, cmc.FailBadIdentity, 104)
	query(group).granted(104).certificate(key)
	// A token that somebody made up is decided as the request in it would be.
	forged := append([]byte("request:"), testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-9"}}, key)...)
	f := h.full().basic(alone).with(cmc.QueryPending(forged))
	f.signed(selfSigned(t, key), key).send().refused(registrar.ReasonForeignName, cmc.FailBadIdentity, 104)
	der, err := (&cmc.PKIData{Requests: []cmc.Request{crmf(t, 1, "dev-1", key, nil, true)}}).MarshalRequests()
	check(t, err)
	var element asn1.RawValue
	_, err = asn1.Unmarshal(der, &element)
	check(t, err)
	f = h.full().basic(alone).with(cmc.QueryPending(append([]byte("request:"), element.Bytes...)))
	f.signed(selfSigned(t, key), key).send().refused(registrar.ReasonCMCPOPRequired, cmc.FailPOPRequired, 104)
}

// laterIssuer answers later.
type laterIssuer struct {
	ca.Issuer
	pending bool
}

func (i *laterIssuer) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if i.pending {
		return nil, ca.ErrPending
	}
	return i.Issuer.Issue(ctx, r)
}
