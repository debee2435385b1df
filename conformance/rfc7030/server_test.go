package rfc7030_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

const (
	user       = "device"
	password   = "correct horse"
	pkcs7      = "application/pkcs7-mime; smime-type=certs-only"
	challenge  = `Basic realm="test"`
	estPrefix  = "/.well-known/est/"
	serverName = "localhost"
)

// server is a small EST server that keeps to the RFC, but for what its faults say.
type server struct {
	t            testing.TB
	root         *testpki.Identity
	intermediate *testpki.Identity
	faults

	mu   sync.Mutex
	keys map[string]any // public keys by subject; guarded by mu
}

// faults are ways not to keep to the RFC. The zero value has none.
type faults struct {
	unknownIsCACerts   bool                      // every path answers cacerts
	anyMethod          bool                      // cacerts is answered to POST too
	getEnrolls         bool                      // GET simpleenroll answers 200
	noChallenge        bool                      // 401 without WWW-Authenticate
	forbidsNobody      bool                      // 403 where 401 is due
	servesNobody       bool                      // simpleenroll needs no credentials
	anyMediaType       bool                      // the request's Content-Type is not looked at
	cacertsNeedsLogin  bool                      // cacerts answers 401 to nobody
	cacertsStatus      int                       // instead of 200
	cacertsType        string                    // instead of pkcs7
	cacertsBody        func(body []byte) []byte  // instead of the body: from the DER
	noRoot             bool                      // cacerts holds the intermediate alone
	anyReenrollSubject bool                      // simplereenroll issues for every subject
	refusesOldKey      bool                      // simplereenroll wants a new key
	oneKeyAName        bool                      // simpleenroll refuses a second key for a name
	refusesReenroll    bool                      // simplereenroll refuses everything
	enrollStatus       int                       // instead of 200
	enrollType         string                    // instead of pkcs7
	enrollBody         func(body []byte) []byte  // instead of the body: from the DER
	chainToo           bool                      // the intermediate comes with the certificate
	otherKey           bool                      // the certificate is for another key
	garbageStatus      int                       // for what is no CSR, instead of 400
	garbageEnrolls     bool                      // what is no CSR gets a certificate
	csrattrs           func(http.ResponseWriter) // instead of 204
}

// start serves s until the test ends and returns it as a target that has the
// server's root and the password.
func start(t *testing.T, f faults) *conformance.Target {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	s := &server{t: t, root: root, intermediate: root.NewIntermediate(t, "issuing"), faults: f, keys: make(map[string]any)}
	ts := httptest.NewUnstartedServer(s)
	ts.TLS = &tls.Config{
		Certificates: []tls.Certificate{root.Server(t, serverName).TLS()},
		ClientAuth:   tls.RequestClientCert, MinVersion: tls.VersionTLS12,
	}
	ts.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test lets fail
	ts.StartTLS()
	t.Cleanup(ts.Close)
	return &conformance.Target{
		URL: ts.URL, Roots: root.Pool(), User: user, Password: password, Timeout: 5 * time.Second,
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, ok := strings.CutPrefix(r.URL.Path, estPrefix)
	switch {
	case ok && op == "cacerts":
		s.cacerts(w, r)
	case ok && op == "csrattrs":
		if s.csrattrs != nil {
			s.csrattrs(w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case ok && op == "simpleenroll":
		s.enroll(w, r, false)
	case ok && op == "simplereenroll":
		s.enroll(w, r, true)
	case s.unknownIsCACerts:
		s.cacerts(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) cacerts(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && !s.anyMethod {
		http.Error(w, "GET it", http.StatusMethodNotAllowed)
		return
	}
	if s.cacertsNeedsLogin && !s.knows(r) {
		s.refuseNobody(w)
		return
	}
	certs := [][]byte{s.intermediate.Certificate.Raw, s.root.Certificate.Raw}
	if s.noRoot {
		certs = certs[:1]
	}
	body := s.certsOnly(certs...)
	answer(w, s.cacertsStatus, s.cacertsType, body, s.cacertsBody)
}

func (s *server) enroll(w http.ResponseWriter, r *http.Request, again bool) {
	if r.Method != http.MethodPost {
		if s.getEnrolls && !again {
			return
		}
		http.Error(w, "POST it", http.StatusMethodNotAllowed)
		return
	}
	renewing := s.renewing(r)
	if again && renewing == nil || !again && !s.knows(r) && !s.servesNobody {
		s.refuseNobody(w)
		return
	}
	if r.Header.Get("Content-Type") != "application/pkcs10" && !s.anyMediaType {
		http.Error(w, "send application/pkcs10", http.StatusUnsupportedMediaType)
		return
	}
	csr := s.readCSR(w, r)
	switch {
	case csr == nil:
	case again && s.refusesOldKey && keysEqual(csr.PublicKey, renewing.PublicKey):
		http.Error(w, "make a new key", http.StatusForbidden)
	case !again && s.oneKeyAName && !s.firstKey(csr):
		http.Error(w, "that name has another key", http.StatusForbidden)
	case again && s.refusesReenroll, again && !s.anyReenrollSubject && !bytes.Equal(csr.RawSubject, renewing.RawSubject):
		http.Error(w, "ask for the same names", http.StatusForbidden)
	default:
		certs := [][]byte{s.issue(csr)}
		if s.chainToo {
			certs = append(certs, s.intermediate.Certificate.Raw)
		}
		answer(w, s.enrollStatus, s.enrollType, s.certsOnly(certs...), s.enrollBody)
	}
}

// readCSR returns nil when it has answered.
func (s *server) readCSR(w http.ResponseWriter, r *http.Request) *x509.CertificateRequest {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		s.t.Error(err)
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err == nil {
		csr, err := x509.ParseCertificateRequest(der)
		if err == nil && csr.CheckSignature() == nil {
			return csr
		}
	}
	if s.garbageEnrolls {
		return &x509.CertificateRequest{Subject: pkix.Name{CommonName: "garbage"}, PublicKey: testpki.NewKey(s.t).Public()}
	}
	status := http.StatusBadRequest
	if s.garbageStatus != 0 {
		status = s.garbageStatus
	}
	http.Error(w, "send base64 of a CSR", status)
	return nil
}

// firstKey reports whether csr's key is the first one seen for its subject.
func (s *server) firstKey(csr *x509.CertificateRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.keys[string(csr.RawSubject)]
	if !ok {
		s.keys[string(csr.RawSubject)] = csr.PublicKey
	}
	return !ok || keysEqual(first, csr.PublicKey)
}

func keysEqual(a, b any) bool {
	key, ok := a.(*ecdsa.PublicKey)
	return ok && key.Equal(b)
}

// knows reports whether r has the password.
func (s *server) knows(r *http.Request) bool {
	u, p, ok := r.BasicAuth()
	return ok && u == user && p == password
}

// renewing returns the client's certificate when it is one of ours.
func (s *server) renewing(r *http.Request) *x509.Certificate {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	cert := r.TLS.PeerCertificates[0]
	if cert.CheckSignatureFrom(s.intermediate.Certificate) != nil {
		return nil
	}
	return cert
}

func (s *server) refuseNobody(w http.ResponseWriter) {
	if s.forbidsNobody {
		http.Error(w, "who are you", http.StatusForbidden)
		return
	}
	if !s.noChallenge {
		w.Header()["WWW-Authenticate"] = []string{challenge}
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func (s *server) issue(csr *x509.CertificateRequest) []byte {
	public := csr.PublicKey
	if s.otherKey {
		public = testpki.NewKey(s.t).Public()
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		s.t.Error(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, RawSubject: csr.RawSubject, Subject: csr.Subject, DNSNames: []string{"device.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, s.intermediate.Certificate, public, s.intermediate.Key)
	if err != nil {
		s.t.Error(err)
	}
	return der
}

func (s *server) certsOnly(certs ...[]byte) []byte {
	der, err := cms.CertsOnly(certs...)
	if err != nil {
		s.t.Error(err)
	}
	return der
}

// answer sends der as EST does, but for what is given instead.
func answer(w http.ResponseWriter, status int, mediaType string, der []byte, instead func([]byte) []byte) {
	if status == 0 {
		status = http.StatusOK
	}
	if mediaType == "" {
		mediaType = pkcs7
	}
	body := lines(der)
	if instead != nil {
		body = instead(der)
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away has its answer in the report
}

// lines is base64 with a line break every 64 characters.
func lines(der []byte) []byte {
	var b bytes.Buffer
	text := base64.StdEncoding.EncodeToString(der)
	for len(text) > 64 {
		b.WriteString(text[:64] + "\r\n")
		text = text[64:]
	}
	b.WriteString(text + "\n")
	return b.Bytes()
}
