package estserver_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
)

const pkcs7 = "application/pkcs7-mime; smime-type=certs-only"

// house is the reference server: the library's handler over a small backend.
// Faults change it before it serves.
type house struct {
	t       testing.TB
	backend *backend
	tls     *tls.Config
	handler http.Handler
	conn    func(net.Conn) net.Conn   // put around each TLS connection; nil for nothing
	front   func(*clientHello) []byte // answers in the place of the house where it returns something
	byName  bool                      // the target is asked by its name
	target  *estserver.Target
}

// fault breaks a house.
type fault func(*house)

// start serves the house with its faults until the test ends.
func start(t testing.TB, faults ...fault) *estserver.Target {
	t.Helper()
	b := newBackend(t)
	h := &house{t: t, backend: b, handler: &est.Handler{Backend: b, Realm: "test"}}
	h.tls = &tls.Config{
		Certificates: []tls.Certificate{b.CA.Registrar(t, "EST test server").TLS()},
		ClientAuth:   tls.RequestClientCert, MinVersion: tls.VersionTLS12,
	}
	ra := b.CA.Registrar(t, "RA client").TLS()
	h.target = &estserver.Target{
		Site: wire.Site{Roots: b.Root()}, User: "device", Password: "secret", Certificate: &ra, Pending: "pending",
	}
	honoursKeyUsage(h)
	for _, f := range faults {
		f(h)
	}
	s := httptest.NewUnstartedServer(h.handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test lets fail
	s.TLS = h.tls
	if h.conn != nil {
		h.serveWrapped(s)
	} else {
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	if h.front != nil {
		address = serveFront(t, address, h.front)
	}
	if h.byName {
		address = strings.Replace(address, "127.0.0.1", "localhost", 1)
	}
	h.target.URL = "https://" + address
	return h.target
}

// wrap puts a handler before the house's.
func wrap(f func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request)) fault {
	return func(h *house) {
		next := h.handler
		h.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(h, next, w, r) })
	}
}

// match picks requests.
type match func(r *http.Request, body []byte) bool

// on picks the requests for an operation.
func on(op est.Operation) match {
	return func(r *http.Request, _ []byte) bool { return strings.HasSuffix(r.URL.Path, "/"+string(op)) }
}

// and picks what both pick.
func (m match) and(n match) match {
	return func(r *http.Request, body []byte) bool { return m(r, body) && n(r, body) }
}

// replies answers those requests itself.
func replies(m match, status int, mediaType, body string) fault {
	return wrap(func(_ *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		if !m(r, take(r)) {
			next.ServeHTTP(w, r)
			return
		}
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // a client that went away has its answer
	})
}

// reply is an answer that a fault may change.
type reply struct {
	status int
	header http.Header
	body   []byte
	csr    *x509.CertificateRequest // of the request; nil when it has none
	r      *http.Request
	h      *house

	chunked bool // send it so
}

// rewrites changes the answers to those requests.
func rewrites(m match, f func(*reply)) fault {
	return wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		body := take(r)
		if !m(r, body) {
			next.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		a := &reply{status: recorder.Code, header: recorder.Header(), body: recorder.Body.Bytes(), csr: readCSR(body), r: r, h: h}
		length := a.header.Get("Content-Length")
		f(a)
		if a.header.Get("Content-Length") == length && length != "" {
			a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
		if f, ok := w.(http.Flusher); ok && a.chunked {
			f.Flush()
		}
		_, _ = w.Write(a.body) // a client that went away has its answer
	})
}

// successes rewrites only what succeeded.
func successes(op est.Operation, f func(*reply)) fault {
	return rewrites(on(op), func(a *reply) {
		if a.status == http.StatusOK {
			f(a)
		}
	})
}

// header sets a header line; an empty value takes it away.
func header(name, value string) func(*reply) {
	return func(a *reply) {
		for sent := range a.header {
			if strings.EqualFold(sent, name) {
				delete(a.header, sent)
			}
		}
		if value != "" {
			a.header[name] = []string{value}
		}
	}
}

// status answers with another status.
func status(code int) func(*reply) { return func(a *reply) { a.status = code } }

// der changes the DER in the body.
func der(f func([]byte) []byte) func(*reply) {
	return func(a *reply) {
		raw, err := base64.StdEncoding.DecodeString(string(a.body))
		if err != nil {
			a.h.t.Errorf("the body is no base64: %v", err)
		}
		a.body = lines(f(raw))
	}
}

// issues answers with a certificate for the request's CSR, whatever the house
// thought of it.
func issues(a *reply) {
	key := crypto.PublicKey(nil)
	var subject []byte
	if a.csr != nil {
		key, subject = a.csr.PublicKey, a.csr.RawSubject
	}
	if key == nil {
		key = a.h.backend.CA.Key.Public()
	}
	a.certificate(&x509.Certificate{RawSubject: subject}, key)
}

// certificate answers with a certificate for key.
func (a *reply) certificate(template *x509.Certificate, key crypto.PublicKey) {
	cert, err := a.h.backend.issueFor(template, key)
	if err != nil {
		a.h.t.Error(err)
		return
	}
	a.certsOnly(cert.Raw)
}

// honoursKeyUsage issues for the key usage that a CSR asks for.
func honoursKeyUsage(h *house) {
	successes(est.OpSimpleEnroll, func(a *reply) {
		for _, e := range a.csr.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15}) && len(e.Value) == 4 && (e.Value[3] == 0x20 || e.Value[3] == 0x08) {
				usage := x509.KeyUsageKeyAgreement
				if e.Value[3] == 0x20 {
					usage = x509.KeyUsageKeyEncipherment
				}
				a.certificate(&x509.Certificate{RawSubject: a.csr.RawSubject, KeyUsage: usage}, a.csr.PublicKey)
			}
		}
	})(h)
}

// certsOnly answers 200 with the certificates.
func (a *reply) certsOnly(certs ...[]byte) {
	raw, err := cms.CertsOnly(certs...)
	if err != nil {
		a.h.t.Error(err)
	}
	a.status, a.body = http.StatusOK, lines(raw)
	a.header.Set("Content-Type", pkcs7)
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
}

// lenient issues where the house refused, for those requests.
func lenient(m match) fault {
	return rewrites(m, func(a *reply) {
		if a.status >= 400 {
			issues(a)
		}
	})
}

// take reads the body of r and puts it back.
func take(r *http.Request) []byte {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// readCSR reads what is nearly a CSR; nil when it is none.
func readCSR(body []byte) *x509.CertificateRequest {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		return nil
	}
	csr, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		return nil
	}
	return csr
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
