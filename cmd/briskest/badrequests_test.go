package main_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// badRequest is one line of the table: what is sent, and the status and reason
// id it gets.
type badRequest struct {
	name   string
	method string
	path   string // below the server's address, sent as it stands
	header map[string]string
	body   []byte
	cert   *tls.Certificate
	status int
	reason string
}

// refusal is what the test reads of a log line.
type refusal struct {
	Msg    string `json:"msg"`
	Reason string `json:"reason"`
	Status int    `json:"status"`
}

// bench is the running registrar and MASA, and the material for the table.
type badBench struct {
	t         *testing.T
	bed       *testbed.Bed
	registrar *testbed.Process
	masa      *testbed.Process
	basic     string // Authorization header
	ra        *tls.Certificate
	ldevid    *tls.Certificate
	idevid    *tls.Certificate
	foreign   *tls.Certificate
	expired   *tls.Certificate
}

func TestEveryBadRequestGetsItsStatusAndReasonAndIssuesNothing(t *testing.T) {
	b := newBadBench(t)
	before := b.issued()
	counts := make(map[string]int)
	for _, r := range append(append(append(b.pathRequests(), b.enrollRequests()...), b.readRequests()...), b.brskiRequests()...) {
		t.Run(r.name, func(t *testing.T) {
			status, body, reason := b.send(t, &r)
			if status != r.status || reason != r.reason {
				t.Errorf("%s %s: status %d, reason %q, body %q; want %d, %q", r.method, r.path, status, reason, body, r.status, r.reason)
			}
			if empty := status == http.StatusUnauthorized || status == http.StatusAccepted; empty != (len(body) == 0) && r.method != http.MethodHead {
				t.Errorf("%s %s: status %d with the body %q", r.method, r.path, status, body)
			}
		})
		counts[endpoint(r.path)]++
	}
	total := 0
	for name, n := range counts {
		t.Logf("%-40s %d bad requests", name, n)
		total += n
		if n < 6 {
			t.Errorf("%s has only %d bad requests, want at least 6", name, n)
		}
	}
	t.Logf("figures: %d bad requests, each with its status and reason id", total)
	if total < 60 {
		t.Errorf("%d bad requests, want at least 60", total)
	}
	if after := b.issued(); after != before {
		t.Errorf("%d certificates were issued by bad requests", after-before)
	}
	b.registrar.Stop()
	b.masa.Stop()
}

// endpoint is the operation a path is aimed at, "paths" for those that name none.
func endpoint(path string) string {
	for _, op := range []string{"cacerts", "csrattrs", "simpleenroll", "simplereenroll", "voucher_status", "enrollstatus", "requestauditlog", "requestvoucher"} {
		if strings.HasSuffix(path, "/"+op) && !strings.ContainsAny(path, "%;.") || strings.HasSuffix(path, ".well-known/est/"+op) || strings.HasSuffix(path, ".well-known/brski/"+op) {
			return op
		}
	}
	return "paths"
}

func newBadBench(t *testing.T) *badBench {
	t.Helper()
	bed := testbed.Once(t)
	b := &badBench{t: t, bed: bed}
	b.masa = testbed.Launch(t, bed.Program, "masa", "--config", filepath.Join(bed.Dir, "masa.yaml"))
	b.registrar = bed.Registrar(t)
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(insecure.CloseIdleConnections)
	b.masa.Until(func() bool { return answers(insecure, bed.MASA+"/nothing") })
	user, password := bed.User(t)
	b.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	b.ra = b.pair("ra.pem", "ra.key")
	b.ldevid = b.pair("pledge/ldevid.pem", "pledge/ldevid.key")
	b.idevid = b.pair("pledge/idevid.pem", "pledge/idevid.key")
	b.foreign, b.expired = foreignCertificates(t)
	return b
}

func answers(client *http.Client, url string) bool {
	res, err := client.Get(url)
	if err != nil {
		return false
	}
	res.Body.Close()
	return true
}

func (b *badBench) pair(cert, key string) *tls.Certificate {
	b.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(b.bed.Dir, cert), filepath.Join(b.bed.Dir, key))
	if err != nil {
		b.t.Fatal(err)
	}
	return &pair
}

// issued counts the certificates on record.
func (b *badBench) issued() int {
	b.t.Helper()
	out, errs, code := testbed.Run(b.t, b.bed.Program, "ca", "list", "--config", filepath.Join(b.bed.Dir, "registrar.yaml"), "-o", "json")
	if code != 0 {
		b.t.Fatalf("ca list: exit %d\n%s", code, errs)
	}
	return strings.Count(out, "\n")
}

// send sends one request as it stands and returns the answer and the reason the server logged.
func (b *badBench) send(t *testing.T, r *badRequest) (status int, body, reason string) {
	t.Helper()
	base, server := strings.TrimSuffix(b.bed.EST, "/.well-known/est"), b.registrar
	if rest, ok := strings.CutPrefix(r.path, "masa:"); ok {
		base, server, r.path = strings.TrimSuffix(b.bed.MASA, "/.well-known/brski"), b.masa, rest
	}
	mark := len(server.Output())
	cfg := &tls.Config{InsecureSkipVerify: true} // what is tested is the server's verdict
	if r.cert != nil {
		cfg.Certificates = []tls.Certificate{*r.cert}
	}
	transport := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
	req, err := http.NewRequest(r.method, base, bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = r.path // uncleaned
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	// A body says the reason; where there is none, the log does. Either way the
	// log line is waited for, so that it is not taken for the next request's.
	_, told, _ := strings.Cut(string(text), "\nreason: ")
	told, _, _ = strings.Cut(strings.TrimSpace(told), ",")
	server.Until(func() bool { reason = loggedRefusal(server.Output()[mark:], told); return reason != "" })
	return res.StatusCode, string(text), reason
}

// loggedRefusal returns the first reason id in the log: the one told, or any
// when none was told.
func loggedRefusal(log, told string) string {
	for line := range strings.Lines(log) {
		var entry refusal
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Reason != "" && (told == "" || entry.Reason == told) {
			return entry.Reason
		}
	}
	return ""
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// csr makes a base64 request for a common name.
func csr(t *testing.T, cn string) []byte {
	t.Helper()
	return csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, p256(t))
}

func csrOf(t *testing.T, template *x509.CertificateRequest, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.AppendEncode(nil, der)
}

func smallRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// broken flips a bit of the last byte of a base64 body: the signature fails.
func broken(t *testing.T, body []byte) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		t.Fatal(err)
	}
	der[len(der)-1] ^= 1
	return base64.StdEncoding.AppendEncode(nil, der)
}

func pemOf(t *testing.T, body []byte) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
