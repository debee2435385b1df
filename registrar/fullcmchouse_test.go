package registrar_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// newCMCHouse is a house whose label "" offers fullcmc and shared secrets.
func newCMCHouse(t testing.TB, change func(h *house)) *house {
	t.Helper()
	return newHouse(t, func(h *house) {
		h.settings.Labels[""].FullCMC, h.settings.Labels[""].SharedSecret = true, true
		h.settings.CMC = &registrar.CMC{Secrets: []registrar.CMCSecret{
			{Name: "sensor-7", Secret: sensorSecret}, {Name: "factory", Secret: factorySecret, Group: true},
		}}
		if change != nil {
			change(h)
		}
	})
}

const (
	sensorSecret  = est.Secret("sixteen chars ok")
	factorySecret = est.Secret("sixty-four characters of a shared secret, no fewer and no more!!")
)

// fullRequest is a Full PKI Request to be sent.
type fullRequest struct {
	h     *house
	data  cmc.PKIData
	peer  est.Peer
	label string
	id    cmc.BodyPartID

	cert  *x509.Certificate
	chain []*x509.Certificate
	key   crypto.Signer
	ski   []byte
	seal  func(der []byte) []byte // what happens to the message before it is sent
}

// full begins a request with transaction identifier, nonce and returned data.
func (h *house) full() *fullRequest {
	f := &fullRequest{h: h, id: 100, peer: est.Peer{Address: netip.MustParseAddrPort("192.0.2.1:4711")}}
	return f.with(&cmc.TransactionID{Number: big.NewInt(4242)}).with(cmc.SenderNonce("0123456789abcdef")).with(cmc.DataReturn("opaque client state"))
}

// bare is a request without any control.
func (h *house) bare() *fullRequest { f := h.full(); f.data.Controls = nil; return f }

// with adds a control.
func (f *fullRequest) with(value cmc.ControlValue) *fullRequest {
	f.id++
	f.data.Controls = append(f.data.Controls, cmc.Control{ID: f.id, Value: value})
	return f
}

// csr adds a PKCS#10 request.
func (f *fullRequest) csr(id cmc.BodyPartID, template *x509.CertificateRequest, key crypto.Signer) *fullRequest {
	f.h.t.Helper()
	q, err := cmc.NewPKCS10(id, testpki.CSR(f.h.t, template, key))
	if err != nil {
		f.h.t.Fatalf("NewPKCS10: %v", err)
	}
	f.data.Requests = append(f.data.Requests, q)
	return f
}

// named adds a PKCS#10 request for a common name and a new key, which it returns.
func (f *fullRequest) named(id cmc.BodyPartID, name string) crypto.Signer {
	f.h.t.Helper()
	key := testpki.NewKey(f.h.t)
	f.csr(id, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	return key
}

// renewal adds a request for the names of a certificate and a key, nil for a new one.
func (f *fullRequest) renewal(id cmc.BodyPartID, cert *x509.Certificate, key crypto.Signer) crypto.Signer {
	f.h.t.Helper()
	if key == nil {
		key = testpki.NewKey(f.h.t)
	}
	f.csr(id, &x509.CertificateRequest{RawSubject: cert.RawSubject, DNSNames: cert.DNSNames}, key)
	return key
}

// own adds a PKCS#10 request with a subject key identifier, and signs the
// message with its key (RFC 5272, Section 3.2).
func (f *fullRequest) own(id cmc.BodyPartID, name string, key crypto.Signer, extra ...pkix.Extension) *fullRequest {
	f.h.t.Helper()
	f.key, f.ski = key, keyID(f.h.t, key)
	value, err := asn1.Marshal(f.ski)
	check(f.h.t, err)
	return f.csr(id, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: name},
		ExtraExtensions: append([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: value}}, extra...),
	}, key)
}

func keyID(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	check(t, err)
	sum := sha1.Sum(der) //nolint:gosec // a name, as RFC 5280, Section 4.2.1.2, has it
	return sum[:]
}

// signed says whose certificate signs.
func (f *fullRequest) signed(cert *x509.Certificate, key crypto.Signer, chain ...*x509.Certificate) *fullRequest {
	f.cert, f.key, f.chain, f.ski = cert, key, chain, nil
	return f
}

func (f *fullRequest) basic(user string) *fullRequest {
	f.peer.User, f.peer.Secret = user, f.h.passwords[user]
	return f
}

func (f *fullRequest) tls(certs ...*x509.Certificate) *fullRequest {
	f.peer.Certificates = certs
	return f
}

// proving adds identification and an identity proof over the requests so far.
func (f *fullRequest) proving(name string, secret est.Secret) *fullRequest {
	f.h.t.Helper()
	requests, err := f.data.MarshalRequests()
	check(f.h.t, err)
	proof, err := cmc.NewIdentityProofV2(crypto.SHA256, requests, &cmc.Secret{Value: []byte(secret), Identification: cmc.Identification(name)})
	check(f.h.t, err)
	return f.with(cmc.Identification(name)).with(proof)
}

// message makes the bytes.
func (f *fullRequest) message() []byte {
	f.h.t.Helper()
	der, err := cmc.SignRequest(&f.data, &cmc.Signing{Key: f.key, Certificate: f.cert, Chain: f.chain, SubjectKeyID: f.ski, Time: f.h.now()})
	if err != nil {
		f.h.t.Fatalf("SignRequest: %v", err)
	}
	if f.seal != nil {
		der = f.seal(der)
	}
	return der
}

// fullAnswer is what came back.
type fullAnswer struct {
	t        testing.TB
	response *cmc.Response
	status   int // HTTP
	refusal  *est.Error
	simple   bool
}

func (f *fullRequest) send() *fullAnswer {
	f.h.t.Helper()
	return f.h.post(f.message(), &f.peer, f.label)
}

// post sends the bytes of a message.
func (h *house) post(der []byte, peer *est.Peer, label string) *fullAnswer {
	h.t.Helper()
	r := &est.CMCRequest{Request: est.Request{ID: "q", Operation: est.OpFullCMC, Label: label, Peer: peer, At: h.now()}, Message: der}
	answer, err := h.service.FullCMC(h.t.Context(), r)
	out := &fullAnswer{t: h.t, status: 200}
	var message []byte
	switch {
	case err == nil:
		message, out.simple = answer.Message, answer.Simple
	case errors.As(err, &out.refusal):
		out.status, message = out.refusal.Status, out.refusal.CMC
	default:
		h.t.Fatalf("FullCMC: %v", err)
	}
	// RFC 5272, Section 3.2: every request gets a response that can be read.
	if out.response, err = cmc.OpenResponse(message, nil); err != nil {
		h.t.Fatalf("the answer with status %d is no PKI Response: %v (%v)", out.status, err, out.refusal)
	}
	if out.response.Simple != out.simple {
		h.t.Errorf("the answer is simple: %t, and is said to be: %t", out.response.Simple, out.simple)
	}
	return out
}

// granted fails the test unless the answer is 200 with success for the parts.
func (a *fullAnswer) granted(ids ...cmc.BodyPartID) *fullAnswer {
	a.t.Helper()
	if a.status != 200 {
		a.t.Fatalf("status %d, want 200: %v", a.status, a.refusal)
	}
	if a.simple {
		return a
	}
	for _, s := range a.response.Data.Statuses() {
		if s.Old {
			a.t.Errorf("the status is in the form of RFC 2797")
		}
		if s.Status != cmc.StatusSuccess {
			a.t.Fatalf("status of %v is %s: %s", s.Bodies, s.Status, s.Text)
		}
		for _, id := range ids {
			if !slices.ContainsFunc(s.Bodies, func(b cmc.BodyPartPath) bool { return len(b) == 1 && b[0] == id }) {
				a.t.Errorf("success is said of %v and not of %d", s.Bodies, id)
			}
		}
	}
	return a
}

// refused fails the test unless the only statuses are failures with that reason
// id and fail info, about the parts.
func (a *fullAnswer) refused(reason string, info cmc.FailInfo, ids ...cmc.BodyPartID) *fullAnswer {
	a.t.Helper()
	if a.status < 400 || a.refusal == nil || a.refusal.Reason != reason {
		a.t.Fatalf("status %d, %v; want a refusal as %s", a.status, a.refusal, reason)
	}
	a.says(reason, info, ids...)
	return a
}

// says fails the test unless a status says so.
func (a *fullAnswer) says(reason string, info cmc.FailInfo, ids ...cmc.BodyPartID) {
	a.t.Helper()
	var want []cmc.BodyPartPath
	for _, id := range ids {
		want = append(want, cmc.BodyPartPath{id})
	}
	for _, s := range a.response.Data.Statuses() {
		if s.FailInfo == nil || *s.FailInfo != info || !bytes.HasPrefix([]byte(s.Text), []byte(reason+": ")) {
			continue
		}
		if len(want) == 0 || slices.EqualFunc(s.Bodies, want, func(a, b cmc.BodyPartPath) bool { return slices.Equal(a, b) }) {
			return
		}
	}
	for _, s := range a.response.Data.Statuses() {
		a.t.Errorf("status of %v: %s %v %q", s.Bodies, s.Status, s.FailInfo, s.Text)
	}
	a.t.Fatalf("no status says %s (%s) of %v", info, reason, ids)
}

// pending returns the token of the one request that waits.
func (a *fullAnswer) pending(h *house) []byte {
	a.t.Helper()
	for _, s := range a.response.Data.Statuses() {
		if s.Status == cmc.StatusPending && s.Pending != nil && s.Pending.Time.After(h.now()) {
			return s.Pending.Token
		}
	}
	a.t.Fatalf("status %d, nothing waits: %v", a.status, a.refusal)
	return nil
}

// certificate returns the certificate for the key.
func (a *fullAnswer) certificate(key crypto.Signer) *x509.Certificate {
	a.t.Helper()
	cert := a.response.CertificateFor(key.Public())
	if cert == nil {
		a.t.Fatalf("no certificate for the key among %d", len(a.response.Certificates))
	}
	return cert
}

// none fails the test if anything was issued.
func (h *house) none() {
	h.t.Helper()
	if n := len(h.certificates("")); n != 0 {
		h.t.Errorf("%d issuances on record", n)
	}
}

// selfSigned is a certificate that nobody knows.
func selfSigned(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "nobody"}, SubjectKeyId: keyID(t, key), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return cert
}

func certsOnly(t testing.TB, cert *x509.Certificate) []byte {
	t.Helper()
	der, err := cms.CertsOnly(cert.Raw)
	check(t, err)
	return der
}

// weakKey is one that the profile refuses.
func weakKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	return key
}

func refuseSameKey(d *profile.Document) { d.Renewal.SameKey = "refuse" }

// oldProof is HMAC-SHA1 under the SHA-1 of secret and name (RFC 5272, Sections 6.2.2 and 6.2.3).
func oldProof(requests []byte, secret est.Secret, name string) cmc.IdentityProof {
	key := sha1.Sum([]byte(string(secret) + name)) //nolint:gosec // as the RFC has it
	m := hmac.New(sha1.New, key[:])
	m.Write(requests)
	return m.Sum(nil)
}

func refusalOf(t testing.TB, err error) *est.Error {
	t.Helper()
	var e *est.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want a refusal", err)
	}
	return e
}

func contains(body []byte, text string) bool { return bytes.Contains(body, []byte(text)) }
