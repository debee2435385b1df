package est_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

// cmcServer is a backend that answers Full PKI Requests as it is told.
type cmcServer struct {
	*esttest.Backend
	t      testing.TB
	signer *testpki.Identity
	// answer makes the response to a request that could be opened.
	answer func(f *cmc.FullRequest) (*est.CMCAnswer, error)
	got    [][]byte
}

func newCMCServer(t testing.TB) (*cmcServer, *site) {
	t.Helper()
	b := esttest.New(t)
	s := &cmcServer{Backend: b, t: t, signer: b.CA.Registrar(t, "RA")}
	s.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) { return s.grant(f, nil), nil }
	out := &site{Backend: b, handler: &est.Handler{Backend: s}}
	out.url = b.Serve(out.handler)
	return s, out
}

func (s *cmcServer) FullCMC(_ context.Context, r *est.CMCRequest) (*est.CMCAnswer, error) {
	s.got = append(s.got, r.Message)
	f, err := cmc.OpenRequest(r.Message, nil)
	if err != nil {
		return nil, &est.Error{Status: 400, Reason: "cmc", Message: "not CMC"}
	}
	return s.answer(f)
}

// grant issues what is asked for; change may alter the response and what comes along before it is signed.
func (s *cmcServer) grant(f *cmc.FullRequest, change func(r *cmc.PKIResponse, g *cmc.Signing)) *est.CMCAnswer {
	s.t.Helper()
	g := &cmc.Signing{Key: s.signer.Key, Certificate: s.signer.Certificate, Chain: slices.Clone(s.signer.Chain)}
	r := s.response(f, &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}})
	for i := range f.Data.Requests {
		g.Chain = append(g.Chain, s.issue(f.Data.Requests[i].PKCS10))
	}
	if change != nil {
		change(r, g)
	}
	der, err := cmc.SignResponse(r, g)
	if err != nil {
		s.t.Errorf("SignResponse: %v", err)
	}
	return &est.CMCAnswer{Message: der}
}

// response is a response with a status and the echoes.
func (s *cmcServer) response(f *cmc.FullRequest, status *cmc.StatusInfo) *cmc.PKIResponse {
	r := &cmc.PKIResponse{Controls: []cmc.Control{{ID: 1, Value: status}}}
	if id, _, ok := cmc.Find[*cmc.TransactionID](f.Data.Controls); ok {
		r.Controls = append(r.Controls, cmc.Control{ID: 2, Value: id})
	}
	if nonce, _, ok := cmc.Find[cmc.SenderNonce](f.Data.Controls); ok {
		r.Controls = append(r.Controls, cmc.Control{ID: 3, Value: cmc.RecipientNonce(nonce)})
	}
	return r
}

func (s *cmcServer) issue(q *x509.CertificateRequest) *x509.Certificate {
	s.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), RawSubject: q.RawSubject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}, s.CA.Certificate, q.PublicKey, s.CA.Key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

// cmcCSR makes a CSR that asks for the subject key identifier of its key.
func cmcCSR(t testing.TB, name string, key crypto.Signer) []byte {
	t.Helper()
	id, err := est.SubjectKeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	return testpki.CSR(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name}, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: value}},
	}, key)
}

func enrollment(t testing.TB) *est.CMCEnrollment {
	t.Helper()
	key := testpki.NewKey(t)
	return &est.CMCEnrollment{CSR: cmcCSR(t, "device", key), Key: key}
}

// fullMessage is a Full PKI Request in base64.
func fullMessage(t testing.TB) string {
	t.Helper()
	key := testpki.NewKey(t)
	q, err := cmc.NewPKCS10(1, cmcCSR(t, "device", key))
	if err != nil {
		t.Fatal(err)
	}
	der, err := cmc.SignRequest(&cmc.PKIData{Requests: []cmc.Request{q}}, &cmc.Signing{Key: key, SubjectKeyID: q.SubjectKeyID()})
	if err != nil {
		t.Fatal(err)
	}
	return b64(der)
}

const fullPath = "/.well-known/est/fullcmc"

// EST-7030-4.3.1-02, EST-5273-5-02: the media type says what comes, in any letter case; a missing smime-type
// is taken, another one refused.
func TestFullCMCTakesItsMediaTypeInAnyLetterCase(t *testing.T) {
	_, s := newCMCServer(t)
	message := fullMessage(t)
	for contentType, want := range map[string]int{
		"application/pkcs7-mime; smime-type=CMC-request":                        200,
		"application/pkcs7-mime; smime-type=cmc-request":                        200,
		"Application/PKCS7-MIME; SMIME-Type=\"CMC-Request\"; name=request.p7m":  200,
		"application/pkcs7-mime":                                                200,
		"application/pkcs7-mime; smime-type=certs-only":                         415,
		"application/pkcs7-mime; smime-type=CMC-response":                       415,
		"application/pkcs7-mime; smime-type=CMC-request; smime-type=certs-only": 415,
		"application/pkcs7-mime; smime-type":                                    415,
		"application/pkcs10":                                                    415,
		"application/x-pkcs7-mime; smime-type=CMC-request":                      415,
		"": 415,
	} {
		header := ""
		if contentType != "" {
			header = "Content-Type: " + contentType + "\r\n"
		}
		got := s.raw(t, post(fullPath, header, message))
		if got.status != want {
			t.Errorf("Content-Type %q: %d %q, want %d", contentType, got.status, got.body, want)
		}
		if want == 415 && !strings.Contains(got.header.Get("Accept"), "CMC-request") {
			t.Errorf("Content-Type %q: the refusal does not say what would be taken: %v", contentType, got.header)
		}
	}
	got := s.raw(t, post(fullPath, "Content-Type: application/pkcs7-mime\r\nContent-Encoding: gzip\r\n", message))
	if got.status != 415 {
		t.Errorf("a compressed body: %d", got.status)
	}
}

// EST-5273-5-01: POST alone, and 200 for success, without assuming HTTP authentication.
func TestFullCMCIsAPost(t *testing.T) {
	_, s := newCMCServer(t)
	got := s.raw(t, get(fullPath))
	if got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", got.status, got.header.Get("Allow"))
	}
	got = s.raw(t, post(fullPath, "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n", fullMessage(t)))
	if got.status != 200 {
		t.Errorf("POST without credentials: %d %q", got.status, got.body)
	}
}

// EST-7030-4.3.2-01, EST-7030-4.3.2-02: 200, and the label says which kind of response it is.
func TestFullCMCLabelsItsAnswerByItsKind(t *testing.T) {
	b, s := newCMCServer(t)
	header := "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n"
	got := s.raw(t, post(fullPath, header, fullMessage(t)))
	der, err := base64.StdEncoding.DecodeString(got.body)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := cmc.OpenResponse(der, nil); err != nil || r.Simple {
		t.Errorf("the answer: %v", err)
	}
	if got.status != 200 || got.header.Get("Content-Type") != "application/pkcs7-mime; smime-type=CMC-response" {
		t.Errorf("Full: %d %q", got.status, got.header.Get("Content-Type"))
	}
	b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
		der, err := cms.CertsOnly(b.issue(f.Data.Requests[0].PKCS10).Raw)
		return &est.CMCAnswer{Message: der, Simple: true}, err
	}
	got = s.raw(t, post(fullPath, header, fullMessage(t)))
	if got.status != 200 || got.header.Get("Content-Type") != "application/pkcs7-mime; smime-type=certs-only" || len(certsOf(t, got.body)) != 1 {
		t.Errorf("Simple: %d %q", got.status, got.header.Get("Content-Type"))
	}
}

// EST-7030-4.3.2-03, EST-7030-4.3.2-04: a CMC error comes with 4xx or 5xx, and one that waits with 202 and
// Retry-After; the Full PKI Response is the body each time.
func TestACMCErrorTravelsWithAnHTTPError(t *testing.T) {
	b, s := newCMCServer(t)
	info := cmc.FailPOPFailed
	for status, also := range map[int]string{400: "", 401: "WWW-Authenticate", 403: "", 503: "Retry-After", 202: "Retry-After"} {
		b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
			der, err := cmc.SignResponse(b.response(f, &cmc.StatusInfo{Status: cmc.StatusFailed, Bodies: []cmc.BodyPartPath{{1}}, FailInfo: &info}),
				&cmc.Signing{Key: b.signer.Key, Certificate: b.signer.Certificate})
			return nil, errors.Join(err, &est.Error{Status: status, Reason: "pop", Message: "no", RetryAfter: time.Second, CMC: der})
		}
		got := s.raw(t, post(fullPath, "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n", fullMessage(t)))
		if got.status != status || got.header.Get("Content-Type") != "application/pkcs7-mime; smime-type=CMC-response" || also != "" && got.header.Get(also) == "" {
			t.Errorf("status %d: %d %v", status, got.status, got.header)
			continue
		}
		der, err := base64.StdEncoding.DecodeString(got.body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := cmc.OpenResponse(der, nil)
		if err != nil || *r.Data.Statuses()[0].FailInfo != cmc.FailPOPFailed {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if n := len(s.TakeRefusals()); n != 4 {
		t.Errorf("the observer was told of %d refusals, want 4", n)
	}
}

// What is no base64 says so in words about CMC.
func TestFullCMCBodiesAreBase64(t *testing.T) {
	b, s := newCMCServer(t)
	header := "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n"
	for body, reason := range map[string]string{"": est.ReasonBodyEmpty, "????": est.ReasonBodyBase64, "0\x82\x01\x01": est.ReasonBodyDER, "-----BEGIN CMS-----": est.ReasonBodyPEM} {
		got := s.raw(t, post(fullPath, header, body))
		if got.status != 400 || !strings.Contains(got.body, "reason: "+reason) || strings.Contains(got.body, "PKCS#10") {
			t.Errorf("%q: %d %q", body, got.status, got.body)
		}
	}
	got := s.raw(t, post(fullPath, header, strings.Repeat("A", 140<<10)))
	if got.status != 413 {
		t.Errorf("a body of 140 KiB: %d", got.status)
	}
	if len(b.got) != 0 {
		t.Errorf("the backend got %d bodies", len(b.got))
	}
}
