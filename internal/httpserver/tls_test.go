package httpserver_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
)

// startTLS serves an empty 200 to everybody.
func startTLS(t *testing.T) (roots *x509.CertPool, address string) {
	t.Helper()
	base, client := start(t, httpserver.Config{Routes: map[string]http.Handler{
		"/": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}})
	return client.Transport.(*http.Transport).TLSClientConfig.RootCAs, strings.TrimPrefix(base, "https://")
}

// dial makes a connection that verifies nothing.
func dial(t *testing.T, address string, c *tls.Config) *tls.Conn {
	t.Helper()
	c.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// EST-7030-3.3.1-01: the chain that the handshake shows leads to the anchor,
// for the name that was dialled.
func TestTheServerShowsAChainThatVerifies(t *testing.T) {
	roots, address := startTLS(t)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if chains := conn.ConnectionState().VerifiedChains; len(chains) == 0 {
		t.Error("no chain was verified")
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "other.example"}); err == nil {
		t.Error("another name was verified too")
	}
}

// EST-9325-3.7-01: the name that a client asks for chooses the certificate.
// BRSKI-8995-ERRATA-6648-01: without a name, and with one that is nobody's, the first.
func TestTheServerNameChoosesTheCertificate(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	named := func(name string) *tls.Certificate {
		c := root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, testpki.NewKey(t)).TLS()
		return &c
	}
	one, two := named("one.example"), named("two.example")
	config := httpserver.TLSConfig(func() []*tls.Certificate { return []*tls.Certificate{one, two} })
	for name, want := range map[string]*tls.Certificate{
		"one.example": one, "two.example": two, "three.example": one, "": one,
	} {
		got := handshake(t, config, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if !got.PeerCertificates[0].Equal(want.Leaf) {
			t.Errorf("a client that asks for %q gets %s", name, got.PeerCertificates[0].Subject)
		}
	}
}

// EST-9325-7.5-01: a status response of the certificate's CA comes with the
// handshake (RFC 6066, Section 8); the other direction is the registrar's.
func TestTheStapleOfTheCertificateIsShown(t *testing.T) {
	c := testpki.NewRoot(t, "root").Server(t, "server").TLS()
	c.OCSPStaple = []byte("status")
	got := handshake(t, httpserver.TLSConfig(func() []*tls.Certificate { return []*tls.Certificate{&c} }), &tls.Config{InsecureSkipVerify: true})
	if string(got.OCSPResponse) != "status" {
		t.Errorf("the handshake shows %q", got.OCSPResponse)
	}
}

// handshake has a client and a server of these configurations meet.
func handshake(t *testing.T, server, client *tls.Config) tls.ConnectionState {
	t.Helper()
	a, b := net.Pipe()
	s := tls.Server(a, server)
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, s)
		done <- err
	}()
	c := tls.Client(b, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	// A ticket of TLS 1.3 comes after the handshake: the server's answer to a
	// close is read, and with it what came before.
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state := c.ConnectionState()
	_ = s.Close()
	_ = c.Close()
	return state
}

// EST-9325-3.4-01: a ticket resumes a session for days at most; its keys
// change by themselves.
func TestAnOldTicketResumesNothing(t *testing.T) {
	c := testpki.NewRoot(t, "root").Server(t, "server").TLS()
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	begin := time.Now()
	set(begin)
	server := httpserver.TLSConfig(func() []*tls.Certificate { return []*tls.Certificate{&c} })
	server.Time = func() time.Time { return *now.Load() }
	client := &tls.Config{
		InsecureSkipVerify: true, ServerName: "localhost", MaxVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(1), Time: func() time.Time { return begin },
	}
	for _, step := range []struct {
		at      time.Duration
		resumes bool
	}{{0, false}, {time.Hour, true}, {8 * 24 * time.Hour, false}} {
		set(begin.Add(step.at))
		if got := handshake(t, server, client); got.DidResume != step.resumes {
			t.Errorf("after %s: resumed %t, want %t", step.at, got.DidResume, step.resumes)
		}
	}
}

// EST-9325-3.8-01: both protocols by ALPN (RFC 7301), and others refused with
// no_application_protocol.
func TestAnUnknownApplicationProtocolIsRefused(t *testing.T) {
	_, address := startTLS(t)
	for _, protocol := range []string{"h2", "http/1.1"} {
		if got := dial(t, address, &tls.Config{NextProtos: []string{protocol}}).ConnectionState().NegotiatedProtocol; got != protocol {
			t.Errorf("a client of %s is spoken to in %q", protocol, got)
		}
	}
	_, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"foo"}})
	if err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("a client of foo: %v", err)
	}
}

// EST-7030-3.3-01: who speaks without TLS gets no answer of EST.
func TestPlainHTTPGetsNothing(t *testing.T) {
	_, address := startTLS(t)
	res, err := http.Get("http://" + address + "/.well-known/est/cacerts")
	if err != nil {
		return // closed at once, which is as good
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a request without TLS gets %s", res.Status)
	}
}

// EST-7030-3.5-06: nobody renegotiates (RFC 5746): the connection ends.
func TestAClientThatRenegotiatesIsGone(t *testing.T) {
	openssl := testbed.Require(t, "openssl")
	_, address := startTLS(t)
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", address, "-tls1_2")
	stdin, err := cmd.StdinPipe() // stays open: the server ends it
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "R\n"); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if text := out.String(); err == nil || !strings.Contains(text, "RENEGOTIATING") || !strings.Contains(text, "alert") {
		t.Errorf("openssl s_client, R: %v\n%s", err, text)
	}
}

// EST-7030-3.3.1-02, EST-9325-4.5-01: a certificate that TLS clients would not
// take, or should not, is refused before anybody is served.
func TestAServerCertificateIsChecked(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	good := func() *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func(c *x509.Certificate)
		short  bool
		want   string
	}{
		"a good one":                  {func(*x509.Certificate) {}, false, ""},
		"one that has expired":        {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, false, ""},
		"an RSA key of 1024 bits":     {func(*x509.Certificate) {}, true, "1024 bits"},
		"no name":                     {func(c *x509.Certificate) { c.DNSNames = nil }, false, "SubjectAltName"},
		"another extended key usage":  {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, false, "serverAuth"},
		"a key usage without signing": {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, false, "digitalSignature"},
		"a CA's":                      {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, false, "CA"},
	} {
		template, key := good(), testpki.NewKey(t)
		c.change(template)
		if c.short {
			key = short
		}
		err := httpserver.CheckCertificate(root.Issue(t, template, key).Certificate)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	for _, algorithm := range []x509.SignatureAlgorithm{x509.SHA1WithRSA, x509.MD5WithRSA, x509.ECDSAWithSHA1} {
		weak := *root.Issue(t, good(), testpki.NewKey(t)).Certificate
		weak.SignatureAlgorithm = algorithm
		if err := httpserver.CheckCertificate(&weak); err == nil || !strings.Contains(err.Error(), algorithm.String()) {
			t.Errorf("signed with %s: %v", algorithm, err)
		}
	}
}
