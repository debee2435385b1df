package registrar_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// R2, EST-5272-3.2.1.1-01: every control of RFC 5272 and RFC 6402, and ones that nobody
// knows. What is not taken refuses the message with its bodyPartID before the
// request beside it is looked at. EST-5274-4.2-01: what a CA has to know is taken.
func TestEveryControlIsTakenOrRefusesTheMessage(t *testing.T) {
	h := newCMCHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	ra, raKey := h.raCertificate()
	one := []cmc.BodyPartID{1}
	general := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: cert.RawIssuer}
	issuer, err := asn1.Marshal(general)
	check(t, err)
	before := len(h.certificates(registrar.Issued))
	for _, c := range []struct {
		value cmc.ControlValue
		taken bool
	}{
		{cmc.Identification("sensor-7"), true},
		{&cmc.IdentityProofV2{Hash: hmacless(2, 1), MAC: cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}, Witness: []byte("wrong")}, true},
		{cmc.IdentityProof("twenty bytes of sha1"), true},
		{cmc.DataReturn("x"), true}, {&cmc.TransactionID{Number: big.NewInt(1)}, true}, {cmc.SenderNonce("x"), true}, {cmc.RecipientNonce("x"), true},
		{&cmc.AddExtensions{Requests: one, Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: []byte{4, 0}}}}, true},
		{&cmc.LRAPOPWitness{Requests: one}, true},
		{&cmc.GetCert{RawIssuer: issuer, SerialNumber: cert.SerialNumber}, true}, {&cmc.GetCRL{RawIssuer: cert.RawIssuer}, true},
		{h.revocation(cert, ""), true}, {cmc.QueryPending("x"), true}, {cmc.POPLinkRandom("x"), true},
		{&cmc.ConfirmCertAcceptance{RawIssuer: cert.RawIssuer, SerialNumber: cert.SerialNumber}, true},
		{&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: one, Replace: true, Template: &cmc.CertTemplate{RawSubject: cert.RawSubject}}, true},
		{cmc.ControlsProcessed{{1}}, true}, {cmc.RAIdentityWitness{1}, true}, {cmc.BatchRequests{7}, true},
		{&cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}}, false},
		{&cmc.StatusInfo{Old: true, Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}}, false},
		{cmc.RegInfo("x"), false}, {cmc.ResponseInfo("x"), false}, {cmc.BatchResponses{1}, false}, {cmc.AuthData(1), false},
		{&cmc.TrustAnchors{Sequence: big.NewInt(1), Hash: hmacless(2, 1), Hashes: [][]byte{make([]byte, 32)}}, false},
		{&cmc.PublishCert{Hash: hmacless(2, 1), CertHashes: [][]byte{make([]byte, 32)}, Publication: []byte{0x30, 3, 2, 1, 1}}, false},
		{&cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 10, 1}, Values: [][]byte{{5, 0}}}, false},
		{&cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 99}, Values: [][]byte{{5, 0}}}, false},
	} {
		f := h.bare().signed(ra, raKey)
		f.id = 103
		f.with(c.value)
		if !c.taken {
			f.named(1, "sensor-99")
		}
		a := f.send()
		if !c.taken {
			a.refused(registrar.ReasonCMCControl, cmc.FailBadRequest, 104)
			continue
		}
		if a.refusal != nil && (a.refusal.Reason == registrar.ReasonCMCControl || a.refusal.Reason == registrar.ReasonCMCMalformed) {
			t.Errorf("%T: %v", c.value, a.refusal)
		}
	}
	if n := len(h.certificates(registrar.Issued)); n > before { // the revocation takes one away
		t.Errorf("%d certificates, there were %d", n, before)
	}
	_ = key
}

// hmacless is a SHA-2 AlgorithmIdentifier.
func hmacless(arc, last int) cms.AlgorithmIdentifier {
	return cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, arc, last}}
}

// EST-5272-3.2.1.1-01: the messages of the vectors, Microsoft's among them, are refused for the very control.
func TestVectorsWithUnknownControlsAreRefused(t *testing.T) {
	folder := os.Getenv("BRISKEST_VECTORS")
	if folder == "" {
		t.Skip("BRISKEST_VECTORS names no folder of vectors")
	}
	h := newCMCHouse(t, nil)
	for file, id := range map[string]cmc.BodyPartID{
		"constructed/neg-cmc-pkidata-unknown-control.signed.der": 104, "cmc/ms-certreq-fullcmc-request.der": 2,
	} {
		der, err := os.ReadFile(filepath.Join(folder, "est", file))
		check(t, err)
		a := h.post(der, &h.full().peer, "")
		if a.status != 400 {
			t.Errorf("%s: %d %v", file, a.status, a.refusal)
		}
		a.says(registrar.ReasonCMCControl, cmc.FailBadRequest, id)
	}
	for file, reason := range map[string]string{
		"neg-cmc-pkidata-duplicate-bodypartid": registrar.ReasonCMCMalformed, "neg-cmc-pkidata-bodypartid-zero": registrar.ReasonCMCMalformed,
		"neg-cmc-pkidata-pkcs10-badsig": registrar.ReasonCMCSignature, "cmc-pkidata-rapopwitness": registrar.ReasonNoCredentials,
		"cmc-pkidata-pkcs10": registrar.ReasonNoCredentials, "cmc-pkidata-querypending": registrar.ReasonNoCredentials,
		"cmc-pkidata-revokerequest": registrar.ReasonUntrusted, "cmc-pkidata-getcrl": registrar.ReasonNoCredentials,
	} {
		der, err := os.ReadFile(filepath.Join(folder, "est/constructed", file+".signed.der"))
		check(t, err)
		if a := h.post(der, &h.full().peer, ""); a.status < 400 || a.refusal.Reason != reason {
			t.Errorf("%s: %d %v, want %s", file, a.status, a.refusal, reason)
		}
	}
	h.none()
}

// EST-5272-3.2.1-01: another type of request stops the whole message.
func TestAnotherTypeOfRequestStopsTheMessage(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	f := h.full().signed(ra, raKey)
	f.named(1, "sensor-1")
	f.data.Requests = append(f.data.Requests, cmc.Request{ID: 2, Other: &cmc.OtherRequest{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: []byte{5, 0}}})
	a := f.send()
	s := a.response.Data.Statuses()
	if a.status != 400 || len(s) != 1 || s[0].Status != cmc.StatusNoSupport || !slices.Equal(s[0].Bodies[0], cmc.BodyPartPath{2}) {
		t.Errorf("status %d, %+v", a.status, s)
	}
	if n := len(h.certificates(registrar.Issued)); n != 1 {
		t.Errorf("%d certificates, want the RA's", n)
	}
}

// EST-5272-3.2.1.3.4-01, EST-5272-3.2-02: a bit changed anywhere, but in the hint at the beginning
// which hashes to compute (RFC 5652, Section 5.1), and the message is not acted on.
func TestAChangedMessageIsNotActedOn(t *testing.T) {
	h := newCMCHouse(t, nil)
	old, key := h.enrolled("sensor-7")
	f := h.full().signed(old, key)
	f.renewal(1, old, nil)
	der := f.message()
	for at := len(der) - 1; at > 50; at -= 37 {
		changed := slices.Clone(der)
		changed[at] ^= 1
		if a := h.post(changed, &f.peer, ""); a.status < 400 {
			t.Errorf("byte %d of %d changed: status %d", at, len(der), a.status)
		}
	}
	changed := slices.Clone(der)
	changed[len(changed)-1] ^= 1
	h.post(changed, &f.peer, "").refused(registrar.ReasonCMCSignature, cmc.FailBadMessageCheck, 0)
	if n := len(h.certificates(registrar.Issued)); n != 1 {
		t.Errorf("%d certificates, want the one there was", n)
	}
}

// EST-5272-5-01: signed, enveloped, and signed around the envelope: the same result.
func TestThreeFormsOfAMessageGetTheSame(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	other, otherKey := h.enrolled("sensor-9")
	to := []*x509.Certificate{h.registrar.Certificate}
	seal := func(outer *cmc.Signing) func([]byte) []byte {
		return func(der []byte) []byte {
			sealed, err := cmc.Envelop(der, to, outer)
			check(t, err)
			return sealed
		}
	}
	for what, form := range map[string]func([]byte) []byte{
		"signed": nil, "enveloped": seal(nil), "signed around": seal(&cmc.Signing{Key: raKey, Certificate: ra}),
	} {
		f := h.full().signed(ra, raKey)
		key := f.named(1, "sensor-"+what[:1])
		f.seal = form
		f.send().granted(1).certificate(key)
	}
	// Somebody else's envelope around it is somebody else's doing, and one for somebody else is not opened.
	f := h.full().signed(ra, raKey)
	f.named(1, "sensor-8")
	f.seal = seal(&cmc.Signing{Key: otherKey, Certificate: other})
	f.send().refused(registrar.ReasonCMCSigners, cmc.FailBadRequest, 0)
	to = []*x509.Certificate{other}
	f.seal = seal(nil)
	if a := f.send(); a.status != 400 || a.refusal.Reason != registrar.ReasonCMCEncrypted {
		t.Errorf("an envelope for somebody else: %d %v", a.status, a.refusal)
	}
}

// EST-5274-4.1-01: HMAC-SHA1 is badAlg unless the setting says otherwise.
func TestOldProofsNeedTheirSetting(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		h := newCMCHouse(t, func(h *house) { h.settings.CMC.AllowSHA1 = allowed })
		f := h.full().own(1, "sensor-7", testpki.NewKey(t))
		requests, err := f.data.MarshalRequests()
		check(t, err)
		f.with(cmc.Identification("sensor-7")).with(oldProof(requests, sensorSecret, "sensor-7"))
		if a := f.send(); allowed {
			a.granted(1)
		} else {
			a.refused(registrar.ReasonCMCAlgorithm, cmc.FailBadAlg, 1)
		}
	}
}

// R3: what a decision by CMC rests on made to fail in turn: nothing is issued or
// revoked, and there is a response that says to come again.
func TestNothingIsDoneByCMCWhenWhatADecisionRestsOnFails(t *testing.T) {
	for _, read := range []string{"Credential", "FindDevices", "CurrentCertificate", "Certificate", "Device", "DeviceBySerialNumber", "LatestVoucher", "PendingByKey"} {
		h := newCMCHouse(t, approving)
		cert, key := h.approved("sensor-7")
		ra, raKey := h.raCertificate()
		before := len(h.certificates(registrar.Issued))
		h.reads.failing(read)
		renewal := h.full().signed(cert, key)
		renewal.renewal(1, cert, nil)
		others := h.full().signed(ra, raKey)
		others.named(1, "sensor-8")
		granted := 0
		for _, f := range []*fullRequest{
			renewal, others, h.full().basic(group).own(1, "sensor-9", testpki.NewKey(t)), h.full().signed(cert, key).with(h.revocation(cert, "")),
		} {
			a := f.send()
			switch {
			case a.status == 200:
				granted++
			case a.status == 202:
			case a.status != 503:
				t.Errorf("%s fails: %d %v", read, a.status, a.refusal)
			}
		}
		h.reads.failing("")
		if read == "Certificate" || read == "Device" {
			if granted != 0 || len(h.certificates(registrar.Issued)) != before {
				t.Errorf("%s fails: %d granted", read, granted)
			}
		}
	}
}

// approved enrolls where an operator approves first.
func (h *house) approved(name string) (*x509.Certificate, crypto.Signer) {
	h.t.Helper()
	r := h.enroll(name).basic(group).dns(name + ".example.com")
	r.refusedAs(registrar.ReasonApproval, 202)
	_, err := h.service.Approve(h.t.Context(), &registrar.Verdicting{Actor: "test", ID: h.waitingRow().ID})
	check(h.t, err)
	return r.mustSend(), r.key
}

// R19: the same case by simpleenroll, or simplereenroll, and by CMC, in PKCS#10
// and in CRMF, has the same answer.
func TestTheSameCaseHasTheSameAnswerByCMC(t *testing.T) {
	h := newCMCHouse(t, func(h *house) {
		h.settings.Labels["vouched"] = &registrar.Label{Profile: h.profile("device"), IDevID: registrar.IDevIDVouched, FullCMC: true, SharedSecret: true}
		h.settings.Labels["closed"] = &registrar.Label{Profile: h.profile("ldevid"), FullCMC: true, Basic: true}
	})
	ra, raKey := h.raCertificate()
	cert, certKey := h.enrolled("sensor-7")
	revoked, revokedKey := h.enrolled("sensor-6")
	h.revoke(revoked)
	h.importSerials("SN-5")
	unvouched := h.idevidCA.IDevID(t, "SN-5", "")
	stranger := testpki.NewRoot(t, "nobody's root").Client(t, "sensor-1")
	type signer struct {
		cert  *x509.Certificate
		key   crypto.Signer
		chain []*x509.Certificate
	}
	for _, c := range []struct {
		what, name, label, user string
		by                      *signer
	}{
		{what: "nobody", name: "sensor-1"},
		{what: "a group's credential", name: "sensor-2", user: group},
		{what: "one's own credential", name: "dev-1", user: alone},
		{what: "another's name", name: "dev-2", user: alone},
		{what: "a name that is taken", name: "sensor-7", user: group},
		{what: "no credential", name: "sensor-3", user: "nobody"},
		{what: "no credentials taken", name: "sensor-3", label: "vouched", user: group},
		{what: "an RA", name: "sensor-4", by: &signer{cert: ra, key: raKey}},
		{what: "an RA where there is none", name: "sensor-4", label: "closed", by: &signer{cert: ra, key: raKey}},
		{what: "a renewal for another name", name: "sensor-8", by: &signer{cert: cert, key: certKey}},
		{what: "a revoked certificate", name: "sensor-6", by: &signer{cert: revoked, key: revokedKey}},
		{what: "a stranger's certificate", name: "sensor-1", by: &signer{cert: stranger.Certificate, key: stranger.Key}},
		{what: "an IDevID without a voucher", name: "SN-5", by: &signer{cert: unvouched.Certificate, key: unvouched.Key, chain: []*x509.Certificate{h.idevidCA.Certificate}}},
		{what: "an unknown label", name: "sensor-1", label: "none", user: group},
	} {
		for _, form := range []string{"PKCS#10", "CRMF"} {
			key := testpki.NewKey(t)
			r := h.enroll(c.name).withKey(key).label(c.label)
			if r.peer.User = c.user; c.user != "" {
				r.peer.Secret = h.passwords[c.user]
			}
			if c.by != nil {
				r.cert(append([]*x509.Certificate{c.by.cert}, c.by.chain...)...)
			}
			f := h.full().own(1, c.name, key)
			f.label, f.peer.User, f.peer.Secret = c.label, r.peer.User, r.peer.Secret
			if c.by != nil {
				f.signed(c.by.cert, c.by.key, c.by.chain...)
			}
			if form == "CRMF" {
				f.data.Requests = []cmc.Request{crmf(t, 1, c.name, key, key, false)}
			}
			simple, simpleErr := r.send()
			if c.label == "none" {
				if _, err := h.service.FullCMC(t.Context(), &est.CMCRequest{Request: est.Request{ID: "q", Operation: est.OpFullCMC, Label: c.label, Peer: &f.peer, At: h.now()}, Message: f.message()}); err == nil || simpleErr == nil {
					t.Errorf("%s: granted", c.what)
				} else {
					refusal(t, err, refusalOf(t, simpleErr).Reason, refusalOf(t, simpleErr).Status)
				}
				continue
			}
			a := f.send()
			if simpleErr == nil {
				if got := a.granted(1).certificate(key); !got.Equal(simple) {
					t.Errorf("%s by %s: another certificate", c.what, form)
				}
				continue
			}
			if e := refusalOf(t, simpleErr); a.refusal == nil || a.refusal.Reason != e.Reason || a.status != e.Status {
				t.Errorf("%s by %s: %d %v, and by simpleenroll %d %v", c.what, form, a.status, a.refusal, e.Status, e)
			}
		}
	}
}

// A message with as many requests, or others in it, as fit: bounded, and nothing is
// done for those beyond.
func TestABatchIsBounded(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	key := testpki.NewKey(t)
	f := h.full().signed(ra, raKey)
	for id := range cmc.BodyPartID(65) {
		f.csr(id+1, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-1"}}, key)
	}
	f.send().refused(registrar.ReasonCMCTooMany, cmc.FailBadRequest, 0)
	inner := h.full().own(1, "sensor-1", key).message()
	f = h.full().signed(ra, raKey)
	for id := range cmc.BodyPartID(80) {
		f.nest(200+id, inner)
	}
	a := f.send()
	a.response.CertificateFor(key.Public())
	refused := 0
	for _, s := range a.response.Data.Statuses() {
		if s.Status == cmc.StatusFailed {
			refused += len(s.Bodies)
		}
	}
	if refused != 80-63 {
		t.Errorf("%d of 80 messages were refused, want 17", refused)
	}
	if n := len(h.certificates(registrar.Issued)); n != 2 {
		t.Errorf("%d certificates, want the RA's and the one", n)
	}
	// Deep in each other.
	for range 5 {
		inner = h.full().signed(ra, raKey).nest(11, inner).message()
	}
	h.post(inner, &h.full().peer, "").refused(registrar.ReasonCMCTooMany, cmc.FailBadRequest)
}

// A hostile RA: it cannot give itself what the operator alone gives, take a
// device's name, or revoke and confirm for others than its label's.
func TestAnRAIsBoundByThePolicyToo(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	h.vouched("SN-1")
	for _, name := range []string{"registrar", "SN-1"} {
		f := h.full().signed(ra, raKey)
		f.named(1, name)
		if a := f.send(); a.status != 403 {
			t.Errorf("an RA enrolls %q: %d %v", name, a.status, a.refusal)
		}
		f = h.full().signed(ra, raKey)
		f.named(1, "harmless")
		f.with(&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: subjectOf(t, name)}})
		if a := f.send(); a.status != 403 {
			t.Errorf("an RA changes a request to %q: %d %v", name, a.status, a.refusal)
		}
	}
	h.full().signed(ra, raKey).with(h.revocation(h.registrar.Certificate, "")).send().refused(registrar.ReasonCMCCertificate, cmc.FailBadCertID, 104)
	h.revoke(ra)
	f := h.full().signed(ra, raKey)
	f.named(1, "sensor-9")
	f.send().refused(registrar.ReasonRevoked, cmc.FailBadIdentity, 1)
}

// Secrets are in no answer and on no trail.
func TestSharedSecretsStaySecret(t *testing.T) {
	h := newCMCHouse(t, nil)
	h.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret).send().granted(1)
	key := testpki.NewKey(t)
	cert, _ := h.enrolled("sensor-1")
	h.full().signed(selfSigned(t, key), key).with(cmc.Identification("sensor-7")).with(h.revocation(cert, sensorSecret)).send()
	all, err := h.store.TrailEntries(t.Context(), registrar.DefaultDomain, "", 0, 100000)
	check(t, err)
	for _, e := range all {
		if slices.ContainsFunc([]est.Secret{sensorSecret, factorySecret}, func(s est.Secret) bool { return contains(e.Body, s.Reveal()) }) {
			t.Errorf("trail entry %d has a secret", e.Seq)
		}
	}
}

// FuzzFullCMC sends bytes to fullcmc without any credentials: there is a PKI
// Response to whatever it is, and nothing is issued.
func FuzzFullCMC(f *testing.F) {
	h := newCMCHouse(f, nil)
	ra, raKey := testpki.NewRoot(f, "nobody").Registrar(f, "RA"), testpki.NewKey(f)
	own := h.full().own(1, "sensor-7", raKey)
	f.Add(own.message())
	f.Add(own.proving("sensor-7", "not the right secret").message())
	f.Add(h.full().signed(ra.Certificate, ra.Key).nest(11, own.message()).with(cmc.BatchRequests{11}).message())
	f.Add(h.full().signed(ra.Certificate, ra.Key).with(cmc.QueryPending("request:0")).message())
	f.Add(h.full().signed(ra.Certificate, ra.Key).with(h.revocation(ra.Certificate, sensorSecret)).message())
	f.Fuzz(func(t *testing.T, der []byte) {
		h.t = t
		if a := h.post(der, &est.Peer{Address: netip.MustParseAddrPort("192.0.2.1:4711")}, ""); a.simple || len(h.certificates("")) != 0 {
			t.Errorf("status %d, and something was issued", a.status)
		}
	})
}
