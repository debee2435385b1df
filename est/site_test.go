package est_test

import (
	"bufio"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/testpki"
)

// site is a Handler over an esttest.Backend, served over TLS.
type site struct {
	*esttest.Backend
	handler *est.Handler
	url     string
}

func newSite(t testing.TB) *site {
	t.Helper()
	b := esttest.New(t)
	s := &site{Backend: b, handler: &est.Handler{Backend: b}}
	s.url = b.Serve(s.handler)
	return s
}

func (s *site) client(t testing.TB) *est.Client {
	t.Helper()
	c := &est.Client{URL: s.url, Roots: s.Root(), User: "device", Password: "secret"}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// wire is an answer as it came: the head's text tells how headers were spelled.
type wire struct {
	head   string
	status int
	header http.Header
	body   string
}

// raw writes request as it is over a new TLS connection and reads one answer. A line "BASIC" stands for credentials.
func (s *site) raw(t testing.TB, request string) wire {
	t.Helper()
	return s.rawTLS(t, &tls.Config{}, request)
}

func (s *site) rawTLS(t testing.TB, cfg *tls.Config, request string) wire {
	t.Helper()
	conn := s.dial(t, cfg)
	request = strings.Replace(request, "BASIC\r\n", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("device:secret"))+"\r\n", 1)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatalf("write the request: %v", err)
	}
	method, _, _ := strings.Cut(request, " ")
	return readWire(t, bufio.NewReader(conn), method)
}

func (s *site) dial(t testing.TB, cfg *tls.Config) *tls.Conn {
	t.Helper()
	cfg.RootCAs = s.Root()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), cfg)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func readWire(t testing.TB, r *bufio.Reader, method string) wire {
	t.Helper()
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read the answer's head after %q: %v", head.String(), err)
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(head.String()), r)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the answer's body: %v", err)
	}
	return wire{head: head.String(), status: res.StatusCode, header: res.Header, body: string(body)}
}

// post makes a request with a Content-Length.
func post(path, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: est.example\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, len(body), body)
}

const (
	enrollPath = "/.well-known/est/simpleenroll"
	pkcs10     = "Content-Type: application/pkcs10\r\n"
)

// goodCSR makes a CSR for a new P-256 key.
func goodCSR(t testing.TB, commonName string) []byte {
	t.Helper()
	return csrFor(t, commonName, testpki.NewKey(t))
}

func csrFor(t testing.TB, commonName string, key crypto.Signer) []byte {
	t.Helper()
	return testpki.CSR(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: commonName}, DNSNames: []string{commonName + ".example"},
	}, key)
}

func b64(der []byte) string { return base64.StdEncoding.EncodeToString(der) }

// lines breaks s into lines of n characters that end with eol.
func lines(s string, n int, eol string) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + eol)
		s = s[n:]
	}
	b.WriteString(s + eol)
	return b.String()
}
