package registrar_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// EST-5272-3.2-03, EST-5272-6.4-01, EST-5272-6.6-01, EST-5272-6.1-01: a request with
// transaction identifier, nonce and data gets a Full Response that echoes them.
// EST-5272-4.2-01 holds from the other side: both forms are read here.
func TestAFullRequestGetsAFullResponseThatEchoesIt(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.full().basic(group)
	key := testpki.NewKey(t)
	a := f.own(1, "sensor-7", key).send().granted(1)
	cert := a.certificate(key)
	if cert.Subject.CommonName != "sensor-7" {
		t.Errorf("certificate for %s", cert.Subject)
	}
	controls := a.response.Data.Controls
	id, _, _ := cmc.Find[*cmc.TransactionID](controls)
	nonce, _, _ := cmc.Find[cmc.RecipientNonce](controls)
	fresh, _, _ := cmc.Find[cmc.SenderNonce](controls)
	data, _, _ := cmc.Find[cmc.DataReturn](controls)
	if id == nil || id.Number.Cmp(big.NewInt(4242)) != 0 || string(nonce) != "0123456789abcdef" || string(data) != "opaque client state" {
		t.Errorf("echoes: %v %q %q", id, nonce, data)
	}
	if len(fresh) < 16 || bytes.Equal(fresh, nonce) {
		t.Errorf("the answer's own nonce is %q", fresh)
	}
	if len(a.response.Signers) != 1 || !a.response.Signers[0].Certificate.Equal(h.registrar.Certificate) {
		t.Error("the response is not signed by the registrar")
	}
	issued := h.entries(registrar.KindCertificateIssued)
	if len(issued) != 1 || issued[0].Actor != "cmc" {
		t.Errorf("%d entries about issuance, want one by cmc", len(issued))
	}
}

// EST-5272-3.2-03, EST-7030-4.3.2-02: where certificates are all there is to say, they are
// all that comes.
func TestARequestWithoutControlsGetsASimpleResponse(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.bare().basic(group)
	key := testpki.NewKey(t)
	a := f.own(1, "sensor-7", key).send().granted()
	if !a.simple || len(a.response.Certificates) != 1 {
		t.Errorf("simple %t with %d certificates", a.simple, len(a.response.Certificates))
	}
	a.certificate(key)
}

// EST-5272-3.2-01: renewal and rekey are signed by the certificate there is.
func TestASigningCertificateRenewsItself(t *testing.T) {
	h := newCMCHouse(t, nil)
	old, oldKey := h.enrolled("sensor-7")
	f := h.full().signed(old, oldKey)
	key := f.renewal(1, old, nil)
	renewed := f.send().granted(1).certificate(key)
	if renewed.Subject.CommonName != "sensor-7" || renewed.Equal(old) {
		t.Errorf("got %s", renewed.Subject)
	}
	f = h.full().signed(renewed, key)
	f.renewal(1, renewed, key)
	same := f.send().granted(1)
	n := 0
	for _, c := range same.response.Certificates {
		if c.Subject.CommonName == "sensor-7" && !c.Equal(renewed) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d new certificates for the same key", n)
	}
	for _, row := range h.certificates("") {
		if want := registrar.OpRenew; bytes.Equal(row.Serial, renewed.SerialNumber.Bytes()) && row.Operation != want {
			t.Errorf("on record as %s, want %s", row.Operation, want)
		}
	}
}

// EST-5272-3.2.1.2-01: a subject may be empty, and is refused as a bad request
// where the profile wants one; the key is always there.
func TestAnEmptySubjectIsDecidedByTheProfile(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.full()
	f.own(1, "", testpki.NewKey(t)).basic(group).send().refused(registrar.ReasonNamesRefused, cmc.FailBadRequest, 1)
	h.none()
}

// EST-5272-6.3.3-01: the names are those of the certificate that signs, but for an RA.
func TestASigningCertificateGetsItsOwnNamesOnly(t *testing.T) {
	h := newCMCHouse(t, nil)
	old, oldKey := h.enrolled("sensor-7")
	f := h.full().signed(old, oldKey)
	f.named(1, "sensor-8")
	f.send().refused(est.ReasonReenrollSubject, cmc.FailBadIdentity, 1)
	ra, raKey := h.raCertificate()
	f = h.full().signed(ra, raKey)
	key := f.named(1, "sensor-8")
	f.send().granted(1).certificate(key)
}

// EST-5272-3.2-05: a profile that wants new keys says noKeyReuse.
func TestTheSameKeyIsRefusedAsReuseWhereTheProfileSaysSo(t *testing.T) {
	h := newCMCHouse(t, func(h *house) { h.reprofile(refuseSameKey) })
	old, key := h.enrolled("sensor-7")
	f := h.full().signed(old, key)
	f.renewal(1, old, key)
	f.send().refused(registrar.ReasonSameKey, cmc.FailNoKeyReuse, 1)
}

// EST-5272-3.2-04: the message that is signed with the requested key names it by the
// subject key identifier that the request asks for, and has no other signer.
func TestAMessageSignedByTheRequestedKeyNamesItByItsIdentifier(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.full().basic(group)
	f.own(1, "sensor-7", testpki.NewKey(t))
	f.ski = []byte("another identifier..")
	f.send().refused(registrar.ReasonCMCSignature, cmc.FailBadMessageCheck, 0)
	f = h.full().basic(group)
	f.named(1, "sensor-7") // without an identifier in the request
	f.key = testpki.NewKey(t)
	f.ski = keyID(t, f.key)
	f.send().refused(registrar.ReasonCMCSignature, cmc.FailBadMessageCheck, 0)
	h.none()
}

// EST-5272-3.2.1.2.2-01: CRMF requests are decided as PKCS#10 ones are.
func TestACRMFRequestIsIssued(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.full().basic(group)
	key := testpki.NewKey(t)
	f.own(9, "unused", key)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-7", key, key, false)}
	cert := f.send().granted(1).certificate(key)
	if cert.Subject.CommonName != "sensor-7" {
		t.Errorf("certificate for %s", cert.Subject)
	}
	old, oldKey := cert, key
	f = h.full().signed(old, oldKey)
	key = testpki.NewKey(t)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-7", key, key, false)}
	f.send().granted(1).certificate(key)
}

// crmf makes a CRMF request with a subject key identifier, signed by signer, nil for none.
func crmf(t testing.TB, id cmc.BodyPartID, name string, key, signer crypto.Signer, verified bool) cmc.Request {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	check(t, err)
	subject, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
	check(t, err)
	ski, err := asn1.Marshal(keyID(t, key))
	check(t, err)
	q, err := cmc.NewCRMF(&cmc.CRMFRequest{ID: id, Key: signer, RAVerified: verified, Template: cmc.CertTemplate{
		RawSubject: subject, RawSubjectPublicKeyInfo: spki, Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: ski}},
	}})
	check(t, err)
	return q
}

// Proof of possession is asked of CRMF too, and nobody but an RA says that he
// has checked it.
func TestPossessionHasToBeProven(t *testing.T) {
	h := newCMCHouse(t, nil)
	key := testpki.NewKey(t)
	for _, c := range []struct {
		what    string
		request cmc.Request
		reason  string
		info    cmc.FailInfo
	}{
		{"no proof", crmf(t, 1, "sensor-7", key, nil, false), registrar.ReasonCMCPOPRequired, cmc.FailPOPRequired},
		{"a device's word", crmf(t, 1, "sensor-7", key, nil, true), registrar.ReasonCMCPOPRequired, cmc.FailPOPRequired},
	} {
		f := h.full().basic(group)
		f.own(9, "unused", key)
		f.data.Requests = []cmc.Request{c.request}
		f.send().refused(c.reason, c.info, 1)
	}
	old, oldKey := h.enrolled("sensor-9")
	f := h.full().signed(old, oldKey)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-9", key, nil, true)}
	f.send().refused(registrar.ReasonCMCPOPRequired, cmc.FailPOPRequired, 1)
	ra, raKey := h.raCertificate()
	f = h.full().signed(ra, raKey)
	f.data.Requests = []cmc.Request{crmf(t, 1, "sensor-7", key, nil, true)}
	f.send().granted(1).certificate(key)
}

// EST-5272-3.1-03: an extension that has to be there and that nobody knows.
func TestAnUnknownCriticalExtensionIsRefusedAsUnsupported(t *testing.T) {
	h := newCMCHouse(t, nil)
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}, Critical: true, Value: []byte{5, 0}}
	h.full().basic(group).own(1, "sensor-7", testpki.NewKey(t), unknown).send().refused(registrar.ReasonExtension, cmc.FailUnsupportedExt, 1)
	// R19: simpleenroll gives the same answer.
	r := h.enroll("sensor-7").basic(group)
	r.csr.ExtraExtensions = []pkix.Extension{unknown}
	r.refusedAs(registrar.ReasonExtension, 400)
	unknown.Critical = false
	h.full().basic(group).own(1, "sensor-7", testpki.NewKey(t), unknown).send().granted(1)
}

// EST-5272-6.2-01, EST-5272-6.2.1-01: a shared secret proves who asks; a wrong one is badIdentity.
func TestASharedSecretAuthenticates(t *testing.T) {
	h := newCMCHouse(t, nil)
	key := testpki.NewKey(t)
	f := h.full().own(1, "sensor-7", key).proving("sensor-7", sensorSecret)
	f.send().granted(1).certificate(key)
	row := h.certificates("")[0]
	if row.Credential != "secret:sensor-7" {
		t.Errorf("on record as authenticated by %q", row.Credential)
	}
	f = h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", "not the right secret")
	f.send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 1)
	f = h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("somebody", sensorSecret)
	f.send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 1)
	f = h.full().own(1, "sensor-8", testpki.NewKey(t)).proving("sensor-7", sensorSecret)
	f.send().refused(registrar.ReasonForeignName, cmc.FailBadIdentity, 1)
	key = testpki.NewKey(t)
	f = h.full().own(1, "sensor-8", key).proving("factory", factorySecret)
	f.send().granted(1).certificate(key)
}

// EST-5272-6.2.1-01: the proof is over the requests as they are, byte for byte.
func TestAnIdentityProofIsGoodForItsRequestsOnly(t *testing.T) {
	h := newCMCHouse(t, nil)
	f := h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret)
	other := testpki.NewKey(t)
	stolen := f.data.Controls
	f = h.full().own(1, "sensor-7", other)
	f.data.Controls = stolen
	f.send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 1)
	h.none()
}

// A secret is taken at the labels that say so.
func TestASecretIsTakenWhereTheLabelSaysSo(t *testing.T) {
	h := newCMCHouse(t, func(h *house) { h.settings.Labels[""].SharedSecret = false })
	f := h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret)
	f.send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 1)
}

// EST-5272-6.3-01: each request has its witness, and it is verified.
func TestAPOPLinkWitnessIsVerifiedInEachRequest(t *testing.T) {
	h := newCMCHouse(t, nil)
	random := cmc.POPLinkRandom("a random value of the client's")
	linked := func(secret est.Secret) *fullRequest {
		key := testpki.NewKey(t)
		f := h.full().own(9, "unused", key)
		f.data.Requests = []cmc.Request{linkedCRMF(t, 1, "sensor-7", key, random, secret)}
		return f.with(random)
	}
	linked(sensorSecret).proving("sensor-7", sensorSecret).send().granted(1)
	linked("not the right secret").proving("sensor-7", sensorSecret).send().refused(registrar.ReasonCMCPOPLink, cmc.FailPOPFailed, 1)
	// A request without one, and one without what it is over.
	h.full().own(1, "sensor-7", testpki.NewKey(t)).with(random).proving("sensor-7", sensorSecret).send().
		refused(registrar.ReasonCMCPOPLink, cmc.FailPOPFailed, 1)
	f := linked(sensorSecret)
	f.data.Controls = f.data.Controls[:3]
	f.proving("sensor-7", sensorSecret).send().refused(registrar.ReasonCMCPOPLink, cmc.FailPOPFailed, 1)
}

// linkedCRMF is a CRMF request with a POP link witness.
func linkedCRMF(t testing.TB, id cmc.BodyPartID, name string, key crypto.Signer, random cmc.POPLinkRandom, secret est.Secret) cmc.Request {
	t.Helper()
	witness, err := cmc.NewPOPLinkWitnessV2(crypto.SHA256, random, &cmc.Secret{Value: []byte(secret), Identification: cmc.Identification(name)})
	check(t, err)
	q := crmf(t, id, name, key, key, false)
	request := &cmc.CRMFRequest{ID: id, Key: key, Template: q.CRMF.Template}
	request.Controls = append(request.Controls, crmfWitness(t, witness))
	q, err = cmc.NewCRMF(request)
	check(t, err)
	return q
}

func crmfWitness(t testing.TB, w *cmc.POPLinkWitnessV2) cmc.CRMFAttribute {
	t.Helper()
	type algorithm struct{ Algorithm asn1.ObjectIdentifier }
	value, err := asn1.Marshal(struct {
		KeyGen, MAC algorithm
		Witness     []byte
	}{algorithm{w.KeyGeneration.OID}, algorithm{w.MAC.OID}, w.Witness})
	check(t, err)
	return cmc.CRMFAttribute{Type: w.OID(), Value: value}
}

// EST-7030-3.5-11: a link to another connection is a failed proof of possession.
func TestALinkToAnotherConnectionFailsThePossession(t *testing.T) {
	h := newCMCHouse(t, nil)
	key := testpki.NewKey(t)
	f := h.full().basic(group)
	f.csr(1, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-7"}}, key)
	der := challengeCSR(t, "sensor-7", "bm90IHRoaXMgY29ubmVjdGlvbg==", key)
	q, err := cmc.NewPKCS10(1, der)
	check(t, err)
	f.data.Requests = []cmc.Request{q}
	f.signed(selfSigned(t, key), key).send().refused(est.ReasonLinkMismatch, cmc.FailPOPFailed, 1)
	// An RA's connection is not the device's.
	ra, raKey := h.raCertificate()
	f.peer.User, f.peer.Secret = "", ""
	f.signed(ra, raKey).send().granted(1)
}

// challengeCSR makes a PKCS#10 request with a challengePassword, which
// crypto/x509 does not write.
func challengeCSR(t testing.TB, name, challenge string, key crypto.Signer) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	check(t, err)
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	attr, err := asn1.Marshal(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte(challenge)}}})
	check(t, err)
	info, err := asn1.Marshal(struct {
		Version    int
		Subject    pkix.RDNSequence
		Key        asn1.RawValue
		Attributes asn1.RawValue
	}{
		0, pkix.Name{CommonName: name}.ToRDNSequence(), asn1.RawValue{FullBytes: spki},
		asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: attr},
	})
	check(t, err)
	digest := sha256.Sum256(info)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	der, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: info}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	check(t, err)
	return der
}

// EST-7030-4.3.1-01, EST-5272-3.2-02: what is no Full PKI Request is refused, with a response.
func TestWhatIsNoFullRequestIsRefused(t *testing.T) {
	h := newCMCHouse(t, nil)
	key := testpki.NewKey(t)
	for what, body := range map[string][]byte{
		"a PKCS#10 request": testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}}, key),
		"random bytes":      []byte("these are no DER"), "nothing": {}, "an empty sequence": {0x30, 0},
		"a certs-only message": certsOnly(t, h.ca.Certificate),
	} {
		a := h.post(body, &h.full().peer, "")
		if a.status < 400 || a.status > 499 || a.refusal.Reason != registrar.ReasonCMCMalformed {
			t.Errorf("%s: %d %v", what, a.status, a.refusal)
		}
	}
	h.none()
}

// EST-5272-3.2.1.3.4-02: without a signature there is an answer nevertheless, and nothing
// was issued that nobody could be told of.
func TestNothingIsIssuedWhenTheResponseCannotBeSigned(t *testing.T) {
	broken := &brokenKey{Signer: testpki.NewKey(t)}
	h := newCMCHouse(t, func(h *house) {
		id := h.ca.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "CMC signer"}}, broken)
		h.settings.CMC.Signer = &voucher.Signer{Key: broken, Certificate: id.Certificate}
	})
	broken.fail = true
	a := h.full().basic(group).own(1, "sensor-7", testpki.NewKey(t)).send()
	s := a.response.Data.Statuses()
	if a.status != 500 || len(a.response.Signers) != 0 || len(s) != 1 || s[0].FailInfo == nil || *s[0].FailInfo != cmc.FailInternalCAError {
		t.Errorf("status %d, %d signers, %v", a.status, len(a.response.Signers), s)
	}
	if nonce, _, _ := cmc.Find[cmc.RecipientNonce](a.response.Data.Controls); string(nonce) != "0123456789abcdef" {
		t.Errorf("the nonce is not echoed: %q", nonce)
	}
	h.none()
	broken.fail = false
	h.full().basic(group).own(1, "sensor-7", testpki.NewKey(t)).send().granted(1)
}

type brokenKey struct {
	crypto.Signer
	fail bool
}

func (k *brokenKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if k.fail {
		return nil, errors.New("the token is gone")
	}
	return k.Signer.Sign(r, digest, o)
}

// A message may carry several requests; each is decided by itself, and each is on
// the trail.
func TestEachRequestOfAMessageIsDecidedByItself(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	f := h.full().signed(ra, raKey)
	first, third := f.named(1, "sensor-1"), crypto.Signer(nil)
	f.csr(2, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "weak"}}, weakKey(t))
	third = f.named(3, "sensor-3")
	before := len(h.entries(registrar.KindCertificateIssued))
	a := f.send()
	if a.status != 200 {
		t.Fatalf("status %d: %v", a.status, a.refusal)
	}
	a.certificate(first)
	a.certificate(third)
	a.says(registrar.ReasonKeyRefused, cmc.FailBadAlg, 2)
	if n := len(h.entries(registrar.KindCertificateIssued)) - before; n != 2 {
		t.Errorf("%d issuances on the trail, want 2", n)
	}
	if n := len(h.entries(registrar.KindRefused)); n != 1 {
		t.Errorf("%d refusals on the trail, want 1", n)
	}
}

// The budgets of an address count the requests and not the messages.
func TestABatchUsesTheAddressesBudget(t *testing.T) {
	h := newCMCHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerAddress = 3 })
	ra, raKey := h.raCertificate()
	f := h.full().signed(ra, raKey)
	for id := range cmc.BodyPartID(5) {
		f.named(id+1, "sensor-"+string(rune('a'+id)))
	}
	a := f.send()
	a.says(registrar.ReasonAddressBudget, cmc.FailTryLater, 4)
	a.says(registrar.ReasonAddressBudget, cmc.FailTryLater, 5)
	if n := len(h.certificates(registrar.Issued)); n != 1+3 {
		t.Errorf("%d certificates, want the RA's and 3", n)
	}
}

// A replayed message of a certificate that was not the connection's gets what it
// got before, at any time.
func TestAReplayedRenewalGetsNothingNew(t *testing.T) {
	h := newCMCHouse(t, nil)
	old, oldKey := h.enrolled("sensor-7")
	f := h.full().signed(old, oldKey)
	key := f.renewal(1, old, nil)
	message := f.message()
	first := h.post(message, &f.peer, "").granted(1).certificate(key)
	h.advance(3 * time.Hour)
	if again := h.post(message, &f.peer, "").granted(1).certificate(key); !again.Equal(first) {
		t.Error("a copy of the message got another certificate")
	}
}

// EST-5272-8-01: an RA is one where the label says so, and of this network.
func TestAnRAIsOneWhereTheLabelSaysSo(t *testing.T) {
	h := newCMCHouse(t, func(h *house) {
		h.settings.Labels["closed"] = &registrar.Label{Profile: h.profile("device"), FullCMC: true, Basic: true}
	})
	ra, raKey := h.raCertificate()
	f := h.full().signed(ra, raKey)
	f.label = "closed"
	f.named(1, "sensor-7")
	f.send().refused(registrar.ReasonMethodNotAllowed, cmc.FailBadIdentity, 1)
	other := testpki.NewRoot(t, "another network").Registrar(t, "their RA")
	f = h.full().signed(other.Certificate, other.Key)
	f.named(1, "sensor-7")
	f.send().refused(registrar.ReasonNoCredentials, cmc.FailBadIdentity, 1)
	vendorsRA := h.idevidCA.Registrar(t, "vendor's RA")
	f = h.full().signed(vendorsRA.Certificate, vendorsRA.Key, h.idevidCA.Certificate)
	f.named(1, "sensor-7")
	if a := f.send(); a.status != 403 {
		t.Errorf("a third party's RA: %d %v", a.status, a.refusal)
	}
}
