package est_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

func TestClientEnrollsWithAPasswordAndRenewsAndRekeysWithTheCertificate(t *testing.T) {
	s := newSite(t)
	s.Labels = []string{"ca1"}
	ctx := t.Context()
	key := testpki.NewKey(t)
	c := s.client(t)
	c.Label = "ca1"
	cert, err := c.SimpleEnroll(ctx, csrFor(t, "device", key))
	if err != nil {
		t.Fatalf("SimpleEnroll: %v", err)
	}
	if cert.Subject.CommonName != "device" || len(cert.DNSNames) != 1 {
		t.Errorf("certificate for %v %v", cert.Subject, cert.DNSNames)
	}
	cas, err := c.CACerts(ctx)
	if err != nil || len(cas) != 2 {
		t.Fatalf("CACerts: %d certificates, %v", len(cas), err)
	}
	renewer := &est.Client{
		URL: s.url + "/.well-known/est/", Roots: s.Root(),
		Certificate: &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, // leaf alone, as libest
	}
	t.Cleanup(renewer.CloseIdleConnections)
	for what, csr := range map[string][]byte{"same key": csrFor(t, "device", key), "new key": goodCSR(t, "device")} {
		again, err := renewer.SimpleReenroll(ctx, csr)
		if err != nil || again.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			t.Errorf("SimpleReenroll with the %s: %v", what, err)
		}
	}
	_, err = renewer.SimpleReenroll(ctx, goodCSR(t, "other-device"))
	var status *est.StatusError
	if !errors.As(err, &status) || status.Status != 403 || !strings.Contains(status.Message, est.ReasonReenrollSubject) {
		t.Errorf("SimpleReenroll for another name: %v", err)
	}
}

// RFC 7030, Section 3.3.2: an initial enrollment with the manufacturer's certificate, which the server has no hint of.
func TestClientEnrollsWithAnIDevID(t *testing.T) {
	s := newSite(t)
	maker := testpki.NewRoot(t, "maker")
	idevid := maker.NewIntermediate(t, "maker CA").IDevID(t, "SN-1", "").TLS()
	c := &est.Client{URL: s.url, Roots: s.Root(), Certificate: &idevid}
	t.Cleanup(c.CloseIdleConnections)
	if _, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device")); err == nil {
		t.Error("SimpleEnroll with a maker that nobody trusts succeeded")
	}
	s.Devices = maker.Pool()
	if _, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device")); err != nil {
		t.Errorf("SimpleEnroll with an IDevID: %v", err)
	}
}

func TestClientReportsWhatTheServerSaid(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	c.Password = "wrong"
	_, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device"))
	var status *est.StatusError
	if !errors.As(err, &status) || status.Status != 401 || status.Operation != est.OpSimpleEnroll {
		t.Errorf("with a wrong password: %v", err)
	}
	if want := "simpleenroll: the server refused with 401 Unauthorized"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	s.Wait = 90 * time.Second
	_, err = s.client(t).SimpleEnroll(t.Context(), goodCSR(t, "device"))
	var pending *est.PendingError
	if !errors.Is(err, est.ErrPending) || !errors.As(err, &pending) || pending.RetryAfter != 90*time.Second {
		t.Errorf("while waiting: %v", err)
	}
	if _, err = s.client(t).SimpleEnroll(t.Context(), []byte("no CSR")); err == nil {
		t.Error("SimpleEnroll sent what is no CSR")
	}
}

// RFC 7030, Section 4.5.2: 204, 404 and an empty list mean the same.
func TestClientTakesNoCSRAttrsInEveryForm(t *testing.T) {
	for what, a := range map[string]reply{
		"204": {status: 204}, "404": {status: 404, body: "none here"},
		"an empty list": {status: 200, contentType: "application/csrattrs", body: "MAA=\n"},
	} {
		if der, err := a.client().CSRAttrs(t.Context()); der != nil || err != nil {
			t.Errorf("CSRAttrs for %s = %x, %v, want none", what, der, err)
		}
	}
	want := []byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")
	got, err := reply{status: 200, contentType: "Application/CsrAttrs; x=y", body: b64(want)}.client().CSRAttrs(t.Context())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("CSRAttrs = %x, %v", got, err)
	}
}

// reply is a server's answer without a server.
type reply struct {
	status      int
	contentType string
	retryAfter  string
	body        string
}

// RoundTrip implements http.RoundTripper.
func (a reply) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{}
	for name, v := range map[string]string{"Content-Type": a.contentType, "Retry-After": a.retryAfter} {
		if v != "" {
			h.Set(name, v)
		}
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: -1, Request: r}, nil
}

func (a reply) client() *est.Client {
	return &est.Client{URL: "https://est.example", HTTP: &http.Client{Transport: a}, Now: func() time.Time {
		return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	}}
}

func certsOnly(t testing.TB, certs ...*x509.Certificate) []byte {
	t.Helper()
	raw := make([][]byte, len(certs))
	for i, c := range certs {
		raw[i] = c.Raw
	}
	der, err := cms.CertsOnly(raw...)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// EST-7030-4.1.3-02, EST-7030-4.2.3-04; RFC 7030, Section 4.2.3, RFC 8951, Section 3.
func TestClientTakesOnlyTheCertificateItAskedFor(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	key := testpki.NewKey(t)
	csr := csrFor(t, "device", key)
	own := root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "device"}}, key).Certificate
	twin := root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "device"}}, key).Certificate
	other := root.Client(t, "device").Certificate
	right := b64(certsOnly(t, own))
	const pkcs7 = "application/pkcs7-mime; smime-type=certs-only"
	good := map[string]reply{
		"one line":                 {200, pkcs7, "", right},
		"lines of 64":              {200, pkcs7, "", lines(right, 64, "\n")},
		"lines of 76 with CRLF":    {200, pkcs7, "", lines(right, 76, "\r\n")},
		"no smime-type (RFC 7030)": {200, "application/pkcs7-mime", "", right},
		"capitals and quotes":      {200, "Application/PKCS7-MIME; SMIME-Type=\"Certs-Only\"", "", right},
		"a broken parameter":       {200, "application/pkcs7-mime; smime-type", "", right},
		"what is above it first":   {200, pkcs7, "", b64(certsOnly(t, root.Certificate, other, own))},
	}
	for what, a := range good {
		if cert, err := a.client().SimpleEnroll(t.Context(), csr); err != nil || !cert.Equal(own) {
			t.Errorf("SimpleEnroll with %s: %v", what, err)
		}
	}
	bad := map[string]reply{
		"a certificate for another key": {200, pkcs7, "", b64(certsOnly(t, other))},
		"two certificates for the key":  {200, pkcs7, "", b64(certsOnly(t, own, twin))},
		"two for other keys":            {200, pkcs7, "", b64(certsOnly(t, other, root.Certificate))},
		"a bare certificate":            {200, pkcs7, "", b64(own.Raw)},
		"bare DER":                      {200, pkcs7, "", string(certsOnly(t, own))},
		"PEM":                           {200, pkcs7, "", string(root.PEM())},
		"an empty body":                 {200, pkcs7, "", ""},
		"a page":                        {200, "text/html", "", right},
		"no type":                       {200, "", "", right},
		"another smime-type":            {200, "application/pkcs7-mime; smime-type=server-generated-key", "", right},
		"more than 1 MiB":               {200, pkcs7, "", strings.Repeat("A", 1<<20+1)},
	}
	for what, a := range bad {
		if _, err := a.client().SimpleEnroll(t.Context(), csr); !errors.Is(err, est.ErrAnswer) {
			t.Errorf("SimpleEnroll with %s: %v, want ErrAnswer", what, err)
		}
	}
	// RFC 7030, Section 4.1.3: anything but 200 is an error, foundriesio/estserver's 201 too.
	for _, status := range []int{201, 204, 206, 400, 404, 500, 503} {
		_, err := reply{status, pkcs7, "", right}.client().SimpleEnroll(t.Context(), csr)
		var e *est.StatusError
		if !errors.As(err, &e) || e.Status != status {
			t.Errorf("SimpleEnroll with status %d: %v", status, err)
		}
		if _, err = (reply{status, pkcs7, "", right}).client().CACerts(t.Context()); !errors.As(err, &e) {
			t.Errorf("CACerts with status %d: %v", status, err)
		}
	}
}

func TestAHostileErrorTextIsBoundedAndPrintable(t *testing.T) {
	_, err := reply{status: 403, body: "\x1b[2Jgo away\r\n\x00" + strings.Repeat("z", 1<<20)}.client().CACerts(t.Context())
	var e *est.StatusError
	if !errors.As(err, &e) {
		t.Fatalf("CACerts: %v", err)
	}
	if !strings.HasPrefix(e.Message, "?[2Jgo away ?zz") || len(e.Message) > 400 {
		t.Errorf("message of %d bytes: %.40q", len(e.Message), e.Message)
	}
}

// RFC 9110, Section 10.2.3.
func TestRetryAfterIsReadAsSecondsOrDateWithinBounds(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const month = 31 * 24 * time.Hour
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 120 ": 2 * time.Minute, "99999999": month, "9223372036854775807": month,
		"99999999999999999999999": month, "-1": 0, "1.5": 0, "soon": 0,
		"Tue, 01 Jan 2030 00:00:05 GMT": 5 * time.Second, "Mon, 31 Dec 2029 23:59:59 GMT": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": month,
	} {
		if got := est.ParseRetryAfter(v, now); got != want {
			t.Errorf("ParseRetryAfter(%q) = %v, want %v", v, got, want)
		}
	}
	_, err := reply{status: 202, retryAfter: "Tue, 01 Jan 2030 00:10:00 GMT"}.client().SimpleEnroll(t.Context(), goodCSR(t, "d"))
	if want := "the server has not decided yet; ask again in 10m0s"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// RFC 7030, Section 3.2.1.
func TestClientFollowsRedirectsWithinTheOriginOnly(t *testing.T) {
	s := newSite(t)
	var elsewhere atomic.Int32
	other := newSite(t)
	otherURL := other.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	redirecting := func(status int, location string) *est.Client {
		url := s.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/moved/") {
				r.URL.Path = strings.TrimPrefix(r.URL.Path, "/moved")
				s.handler.ServeHTTP(w, r)
				return
			}
			http.Redirect(w, r, location, status)
		}))
		c := &est.Client{URL: url, Roots: s.Root(), User: "device", Password: "secret"}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	for _, status := range []int{307, 308} {
		if _, err := redirecting(status, "/moved"+enrollPath).SimpleEnroll(t.Context(), goodCSR(t, "device")); err != nil {
			t.Errorf("SimpleEnroll through %d within the origin: %v", status, err)
		}
	}
	if _, err := redirecting(301, "/moved/.well-known/est/cacerts").CACerts(t.Context()); err != nil {
		t.Errorf("CACerts through 301 within the origin: %v", err)
	}
	for what, c := range map[string]*est.Client{
		"to another port":       redirecting(307, otherURL+enrollPath),
		"to plain http":         redirecting(307, "http://127.0.0.1:1"+enrollPath),
		"that turns it to GET":  redirecting(302, "/moved"+enrollPath),
		"that says see other":   redirecting(303, "/moved"+enrollPath),
		"that goes round":       redirecting(307, enrollPath),
		"to another host":       redirecting(308, "https://localhost.example/"),
		"to a name's lookalike": redirecting(307, "https://127.0.0.1:1@"+strings.TrimPrefix(otherURL, "https://")+enrollPath),
	} {
		if _, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device")); !errors.Is(err, est.ErrRedirect) {
			t.Errorf("a redirect %s: %v, want ErrRedirect", what, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("the other origin was asked %d times", n)
	}
}

// RFC 7030, Sections 3.6.1 and 3.6.2.
func TestClientAsksOnlyAServerThatIsTheOneMeantOrAnRA(t *testing.T) {
	s := newSite(t)
	var asked atomic.Int32
	serve := func(id *testpki.Identity) string {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.TLS()}})
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			s.handler.ServeHTTP(w, r)
		}), ErrorLog: nil}
		server.ErrorLog = discardLog()
		done := make(chan struct{})
		go func() { defer close(done); _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close(); <-done })
		return "https://" + l.Addr().String()
	}
	issue := func(ca *testpki.Identity, c x509.Certificate) *testpki.Identity {
		return ca.Issue(t, &c, testpki.NewKey(t))
	}
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	server, client := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	ra := []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}
	foreign := testpki.NewRoot(t, "EST test root")
	for what, c := range map[string]struct {
		id   *testpki.Identity
		good bool
	}{
		"the right name":                     {issue(s.CA, x509.Certificate{IPAddresses: here, ExtKeyUsage: server}), true},
		"the right name, no usage":           {issue(s.CA, x509.Certificate{IPAddresses: here}), true},
		"another name, id-kp-cmcRA":          {issue(s.CA, x509.Certificate{DNSNames: []string{"ra.example"}, ExtKeyUsage: server, UnknownExtKeyUsage: ra}), true},
		"another name":                       {issue(s.CA, x509.Certificate{DNSNames: []string{"ra.example"}, ExtKeyUsage: server}), false},
		"a client's certificate":             {issue(s.CA, x509.Certificate{IPAddresses: here, ExtKeyUsage: client}), false},
		"an expired one":                     {issue(s.CA, x509.Certificate{IPAddresses: here, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0)}), false},
		"the right name, another root":       {issue(foreign, x509.Certificate{IPAddresses: here, ExtKeyUsage: server}), false},
		"id-kp-cmcRA, another root":          {issue(foreign, x509.Certificate{UnknownExtKeyUsage: ra}), false},
		"an expired one with id-kp-cmcRA":    {issue(s.CA, x509.Certificate{UnknownExtKeyUsage: ra, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0)}), false},
		"the CA's own certificate":           {s.CA, false},
		"the right name under a non-CA leaf": {issue(issue(s.CA, x509.Certificate{ExtKeyUsage: server}), x509.Certificate{IPAddresses: here}), false},
	} {
		asked.Store(0)
		cl := &est.Client{URL: serve(c.id), Roots: s.Root(), User: "device", Password: "secret"}
		_, err := cl.SimpleEnroll(t.Context(), goodCSR(t, "device"))
		cl.CloseIdleConnections()
		if (err == nil) != c.good {
			t.Errorf("a server with %s: %v, want success %v", what, err, c.good)
		}
		if !c.good && asked.Load() != 0 {
			t.Errorf("a server with %s was sent the request", what)
		}
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("no system roots here")
	}
	cl := &est.Client{URL: s.url, Implicit: system}
	if _, err := cl.CACerts(t.Context()); err == nil {
		t.Error("a server that no system root vouches for was believed")
	}
}

// RFC 7030, Section 4.1.1: no credentials for a server that is not authenticated.
func TestCredentialsGoToAuthenticatedServersOnly(t *testing.T) {
	s := newSite(t)
	open := &tls.Config{InsecureSkipVerify: true}
	c := &est.Client{URL: s.url, TLSConfig: open, User: "device", Password: "secret"}
	if _, err := c.CACerts(t.Context()); !errors.Is(err, est.ErrInsecure) {
		t.Errorf("with credentials: %v, want ErrInsecure", err)
	}
	c = &est.Client{URL: s.url, TLSConfig: open}
	if _, err := c.CACerts(t.Context()); !errors.Is(err, est.ErrInsecure) {
		t.Errorf("without credentials: %v, want ErrInsecure", err)
	}
	seen := 0
	pinned := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { seen++; return nil }}
	c2 := &est.Client{URL: s.url, TLSConfig: pinned, User: "device", Password: "secret"}
	defer c2.CloseIdleConnections()
	if _, err := c2.SimpleEnroll(t.Context(), goodCSR(t, "device")); err != nil || seen != 1 {
		t.Errorf("with the caller's own verification: %v, called %d times", err, seen)
	}
	chains := 0
	both := &tls.Config{VerifyConnection: func(cs tls.ConnectionState) error { chains = len(cs.VerifiedChains); return errors.New("not today") }}
	c3 := &est.Client{URL: s.url, TLSConfig: both, Roots: s.Root()}
	if _, err := c3.CACerts(t.Context()); err == nil || chains != 1 {
		t.Errorf("the caller's VerifyConnection saw %d chains, and its refusal gave %v", chains, err)
	}
}

func TestClientURLsAreCheckedBeforeAnythingIsSent(t *testing.T) {
	fail := reply{status: 500}
	for _, url := range []string{
		"", "est.example", "http://est.example", "https://", "https://u:p@est.example", "https://est.example/est",
		"https://est.example/.well-known/est/a/b", "https://est.example/.well-known/est/cacerts", "https://est.example/?x",
		"https://est.example/#x", "https://est.example/.well-known/estuary", "https://est.example/.well-known/est/%41", "https://[::1",
	} {
		c := fail.client()
		c.URL = url
		if _, err := c.CACerts(t.Context()); !errors.Is(err, est.ErrURL) {
			t.Errorf("URL %q: %v, want ErrURL", url, err)
		}
	}
	for _, label := range []string{"a/b", "simpleenroll", "..", "a b", strings.Repeat("x", 65), "\u00e9"} {
		c := fail.client()
		c.Label = label
		if _, err := c.CACerts(t.Context()); !errors.Is(err, est.ErrURL) {
			t.Errorf("label %q: %v, want ErrURL", label, err)
		}
	}
	both := fail.client()
	both.URL, both.Label = "https://est.example/.well-known/est/a", "b"
	if _, err := both.CACerts(t.Context()); !errors.Is(err, est.ErrURL) {
		t.Errorf("a label in the URL and in Label: %v, want ErrURL", err)
	}
}

// RFC 7030, Section 3.1: a full URI or an authority makes the same request.
func TestEveryFormOfTheURLAsksTheSamePath(t *testing.T) {
	var paths []string
	record := roundTripper(func(r *http.Request) (*http.Response, error) {
		paths = append(paths, r.Method+" "+r.URL.String()+" "+r.UserAgent())
		return reply{status: 404}.RoundTrip(r)
	})
	for _, c := range []*est.Client{
		{URL: "https://est.example:8443", Label: "ca:1"}, {URL: "https://est.example:8443/", Label: "ca:1"},
		{URL: "https://est.example:8443/.well-known/est", Label: "ca:1"}, {URL: "https://est.example:8443/.well-known/est/ca:1/"},
	} {
		c.HTTP, c.UserAgent = &http.Client{Transport: record}, "device/1"
		if _, err := c.CSRAttrs(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range paths {
		if want := "GET https://est.example:8443/.well-known/est/ca:1/csrattrs device/1"; p != want {
			t.Errorf("asked %q, want %q", p, want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestACallEndsWithItsContext(t *testing.T) {
	s := newSite(t)
	release := make(chan struct{})
	url := s.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	started := roundTripper(func(r *http.Request) (*http.Response, error) {
		cancel()
		return http.DefaultTransport.RoundTrip(r)
	})
	c := &est.Client{URL: url, HTTP: &http.Client{Transport: started}}
	if _, err := c.CACerts(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("CACerts: %v, want context.Canceled", err)
	}
}

func TestClientReadsThePublishedAnswers(t *testing.T) {
	dir := vectors(t)
	for file, want := range map[string]int{"rfc7030/a1-cacerts-response.b64": 4, "impl/jester-cacerts.b64": 4} {
		body, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		certs, err := reply{status: 200, contentType: "application/pkcs7-mime", body: string(body)}.client().CACerts(t.Context())
		if err != nil || len(certs) != want {
			t.Errorf("CACerts of %s: %d certificates, %v", file, len(certs), err)
		}
	}
	body, err := os.ReadFile(filepath.Join(dir, "rfc7030/a2-csrattrs-response.b64"))
	if err != nil {
		t.Fatal(err)
	}
	if der, err := (reply{status: 200, contentType: "application/csrattrs", body: string(body)}).client().CSRAttrs(t.Context()); err != nil || len(der) == 0 {
		t.Errorf("CSRAttrs of RFC 7030's example: %v", err)
	}
}

func FuzzClientResponse(f *testing.F) {
	root := testpki.NewRoot(f, "root")
	key := testpki.NewKey(f)
	csr := csrFor(f, "device", key)
	own := root.Issue(f, &x509.Certificate{Subject: pkix.Name{CommonName: "device"}}, key).Certificate
	const pkcs7 = "application/pkcs7-mime; smime-type=certs-only"
	f.Add(200, pkcs7, "", []byte(b64(certsOnly(f, own))))
	f.Add(200, "application/pkcs7-mime", "", []byte(lines(b64(certsOnly(f, own, root.Certificate)), 76, "\r\n")))
	f.Add(200, "application/csrattrs", "", []byte("MAsGCSqGSIb3DQEJBw=="))
	f.Add(202, "", "Tue, 01 Jan 2030 00:10:00 GMT", []byte(nil))
	f.Add(403, "text/plain", "120", []byte("no\x1b"))
	for _, s := range []string{"\x1f\x80", "\x1f\x05", "\x30\x81", "\x30\x84\x01", "\x30\x82\x06", "\x5f\x4d"} {
		f.Add(200, pkcs7, "", []byte(b64([]byte(s))))
	}
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter string, body []byte) {
		a := reply{status: status, contentType: contentType, retryAfter: retryAfter, body: string(body)}
		cert, err := a.client().SimpleEnroll(t.Context(), csr)
		if err == nil && (status != 200 || !bytes.Equal(cert.RawSubjectPublicKeyInfo, own.RawSubjectPublicKeyInfo)) {
			t.Errorf("SimpleEnroll took %d %q", status, body)
		}
		if err != nil && len(fmt.Sprint(err)) > 2000 {
			t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
		}
		if certs, err := a.client().CACerts(t.Context()); err == nil && (status != 200 || len(certs) == 0) {
			t.Errorf("CACerts took %d %q", status, body)
		}
		if set, err := a.client().TrustedCACerts(t.Context()); err == nil {
			for _, c := range append(set.Anchors, set.Intermediates...) {
				if !c.IsCA {
					t.Errorf("TrustedCACerts trusts %v, which is no CA", c.Subject)
				}
			}
		}
		if lists, err := a.client().CRLs(t.Context(), &est.CASet{}); err == nil && len(lists) > 0 {
			t.Error("CRLs took a list that nobody vouches for")
		}
		if der, err := a.client().CSRAttrs(t.Context()); err == nil && der != nil && status != 200 {
			t.Errorf("CSRAttrs took %d %q", status, body)
		}
	})
}
