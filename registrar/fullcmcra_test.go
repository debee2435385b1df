package registrar_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

func subjectOf(t testing.TB, name string) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
	check(t, err)
	return der
}

// nest puts messages into the cmsSequence.
func (f *fullRequest) nest(id cmc.BodyPartID, inner []byte) *fullRequest {
	f.data.Messages = append(f.data.Messages, cmc.Message{ID: id, ContentInfo: inner})
	return f
}

// nested opens the response to a nested message.
func (a *fullAnswer) nested(id cmc.BodyPartID) *cmc.Response {
	a.t.Helper()
	for _, m := range a.response.Data.Messages {
		if m.ID == id {
			r, err := cmc.OpenResponse(m.ContentInfo, nil)
			if err != nil {
				a.t.Fatalf("response %d: %v", id, err)
			}
			return r
		}
	}
	a.t.Fatalf("no response to message %d", id)
	return nil
}

// RFC 5272, Section 7: an RA passes on what devices have signed, each with its own
// answer; batch and order are said.
func TestAnRAPassesOnABatch(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	first, second := testpki.NewKey(t), testpki.NewKey(t)
	f := h.full().signed(ra, raKey).
		nest(11, h.full().own(1, "sensor-1", first).message()).
		nest(12, h.full().own(1, "sensor-7", second).proving("sensor-7", sensorSecret).message()).
		nest(13, []byte{0x30, 0}).with(cmc.BatchRequests{11, 12, 13})
	a := f.send()
	if a.status != 200 {
		t.Fatalf("status %d: %v", a.status, a.refusal)
	}
	ids, _, _ := cmc.Find[cmc.BatchResponses](a.response.Data.Controls)
	if !slices.Equal(ids, cmc.BatchResponses{11, 12, 13}) {
		t.Errorf("batch responses %v", ids)
	}
	for id, key := range map[cmc.BodyPartID]crypto.Signer{11: first, 12: second} {
		r := a.nested(id)
		if r.CertificateFor(key.Public()) == nil {
			t.Errorf("no certificate in the answer to message %d", id)
		}
		if nonce, _, _ := cmc.Find[cmc.RecipientNonce](r.Data.Controls); string(nonce) != "0123456789abcdef" {
			t.Errorf("message %d: the device's nonce is not echoed", id)
		}
	}
	if s := a.nested(13).Data.Statuses(); len(s) != 1 || s[0].FailInfo == nil || *s[0].FailInfo != cmc.FailBadRequest {
		t.Errorf("the broken message: %v", s)
	}
	// Who authenticates in his own message is decided by that, everybody else by the RA.
	credentials := map[string]bool{}
	for _, row := range h.certificates(registrar.Issued) {
		scheme, _, _ := strings.Cut(row.Credential, ":")
		credentials[scheme] = true
	}
	if !credentials["secret"] || !credentials["cert"] {
		t.Errorf("authenticated by %v", credentials)
	}
}

// A device's renewal stays its own when an RA passes it on.
func TestARenewalThatAnRAPassesOnIsTheDevices(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	old, oldKey := h.enrolled("sensor-7")
	inner := h.full().signed(old, oldKey)
	key := inner.renewal(1, old, nil)
	a := h.full().signed(ra, raKey).nest(11, inner.message()).send().granted()
	if a.nested(11).CertificateFor(key.Public()) == nil {
		t.Error("no certificate in the answer")
	}
	h.revoke(old)
	inner = h.full().signed(old, oldKey)
	inner.renewal(1, old, nil)
	if a := h.full().signed(ra, raKey).nest(11, inner.message()).send(); a.status != 403 {
		t.Errorf("with a revoked certificate: %d %v", a.status, a.refusal)
	}
}

// RFC 5272, Section 6.5: an RA changes names; a changed request is its own word.
func TestAnRAChangesARequest(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	key := testpki.NewKey(t)
	inner := h.full().own(1, "as the device says", key).message()
	change := &cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{11}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: subjectOf(t, "sensor-8")}}
	a := h.full().signed(ra, raKey).nest(11, inner).with(change).send().granted()
	cert := a.nested(11).CertificateFor(key.Public())
	if cert == nil || cert.Subject.CommonName != "sensor-8" {
		t.Errorf("certificate %v", cert)
	}
	// A shared secret of the device's own does not make the RA's names its own.
	inner = h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret).message()
	change.Template.RawSubject = subjectOf(t, "sensor-9")
	h.full().signed(ra, raKey).nest(11, inner).with(change).send().granted()
	for _, row := range h.certificates(registrar.Issued) {
		if row.Credential == "secret:sensor-7" {
			t.Error("the RA's names count as the device's")
		}
	}
	// The key is the device's to choose.
	other, err := x509.MarshalPKIXPublicKey(testpki.NewKey(t).Public())
	check(t, err)
	change.Template.RawSubjectPublicKeyInfo = other
	h.full().signed(ra, raKey).nest(11, inner).with(change).send().refused(registrar.ReasonCMCTemplate, cmc.FailBadRequest, 104)
	missing := &cmc.LRAPOPWitness{PKIData: 11, Requests: []cmc.BodyPartID{99}}
	h.full().signed(ra, raKey).nest(11, inner).with(missing).send().refused(registrar.ReasonCMCReference, cmc.FailBadRequest, 104)
}

// EST-5272-6.8-01: the RA has seen that the device has the key.
func TestAnRAWitnessesPossession(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	key := testpki.NewKey(t)
	f := h.full().signed(ra, raKey)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-7", key, nil, false)}
	f.send().refused(registrar.ReasonCMCPOPRequired, cmc.FailPOPRequired, 1)
	f.with(&cmc.LRAPOPWitness{Requests: []cmc.BodyPartID{1}}).send().granted(1).certificate(key)
	old, oldKey := h.enrolled("sensor-8")
	f = h.full().signed(old, oldKey)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-8", key, nil, false)}
	f.with(&cmc.LRAPOPWitness{Requests: []cmc.BodyPartID{1}}).send().refused(registrar.ReasonCMCNotRA, cmc.FailBadIdentity, 104)
}

// Everything that only an RA may say, said by others.
func TestADeviceIsNoRA(t *testing.T) {
	h := newCMCHouse(t, nil)
	old, oldKey := h.enrolled("sensor-8")
	inner := h.full().own(1, "sensor-1", testpki.NewKey(t)).message()
	for _, value := range []cmc.ControlValue{
		&cmc.LRAPOPWitness{Requests: []cmc.BodyPartID{1}}, cmc.BatchRequests{11}, cmc.ControlsProcessed{{1}}, cmc.RAIdentityWitness{1},
		&cmc.AddExtensions{Requests: []cmc.BodyPartID{1}, Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: []byte{4, 0}}}},
		&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: subjectOf(t, "sensor-9")}},
	} {
		f := h.full().signed(old, oldKey).with(value)
		f.renewal(1, old, nil)
		f.send().refused(registrar.ReasonCMCNotRA, cmc.FailBadIdentity, 104)
		key := testpki.NewKey(t)
		h.full().basic(group).with(value).own(1, "sensor-7", key).send().refused(registrar.ReasonCMCNotRA, cmc.FailBadIdentity, 104)
	}
	h.full().signed(old, oldKey).nest(11, inner).send().refused(registrar.ReasonCMCNested, cmc.FailBadIdentity, 11)
	// A device's message inside an RA's has none of the RA's rights.
	ra, raKey := h.raCertificate()
	wrapped := h.full().nest(21, inner).own(1, "sensor-1", testpki.NewKey(t)).message()
	a := h.full().signed(ra, raKey).nest(11, wrapped).send()
	if a.status < 400 || a.refusal.Reason != registrar.ReasonCMCNested {
		t.Errorf("a message nested by a device: %d %v", a.status, a.refusal)
	}
	if n := len(h.certificates(registrar.Issued)); n != 2 {
		t.Errorf("%d certificates, want the RA's and the device's", n)
	}
}

// RFC 7030, Section 3.7: one identity, or an RA's connection.
func TestTheConnectionsCertificateIsTheSignersOrAnRAs(t *testing.T) {
	h := newCMCHouse(t, nil)
	a, aKey := h.enrolled("sensor-a")
	b, bKey := h.enrolled("sensor-b")
	ra, _ := h.raCertificate()
	f := h.full().signed(b, bKey).tls(a)
	f.renewal(1, b, nil)
	f.send().refused(registrar.ReasonCMCIdentity, cmc.FailBadIdentity, 1)
	f.tls(h.idevidCA.IDevID(t, "SN-1", "").Certificate, h.idevidCA.Certificate).send().refused(registrar.ReasonCMCIdentity, cmc.FailBadIdentity, 1)
	f.tls(b).send().granted(1)
	f = h.full().signed(b, bKey).tls(ra)
	f.renewal(1, b, nil)
	f.send().granted(1)
	// A throwaway key that signs is nobody, and so not the connection's certificate either.
	key := testpki.NewKey(t)
	f = h.full().tls(a).signed(selfSigned(t, key), key)
	f.renewal(1, a, key)
	f.send().refused(registrar.ReasonCMCIdentity, cmc.FailBadIdentity, 1)
	// The key to be certified names nobody: the connection does.
	key = testpki.NewKey(t)
	f = h.full().tls(a).own(9, "unused", key)
	f.data.Requests = nil
	ski, err := asn1.Marshal(f.ski)
	check(t, err)
	f.csr(1, &x509.CertificateRequest{RawSubject: a.RawSubject, DNSNames: a.DNSNames, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: ski}}}, key)
	f.send().granted(1).certificate(key)
	_ = aKey
}

// An IDevID signs what it would present to simpleenroll.
func TestAnIDevIDEnrollsByCMC(t *testing.T) {
	h := newCMCHouse(t, nil)
	idevid := h.vouched("SN-1")
	f := h.full().signed(idevid.Certificate, idevid.Key, h.idevidCA.Certificate)
	key := testpki.NewKey(t)
	f.csr(1, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "SN-1"}}, key)
	cert := f.send().granted(1).certificate(key)
	if cert.Subject.SerialNumber != "SN-1" {
		t.Errorf("certificate for %s", cert.Subject)
	}
	f = h.full().signed(idevid.Certificate, idevid.Key, h.idevidCA.Certificate)
	f.csr(1, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "SN-2"}}, testpki.NewKey(t))
	f.send().refused(registrar.ReasonSerialMismatch, cmc.FailBadIdentity, 1)
}
