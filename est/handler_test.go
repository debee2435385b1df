package est_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

// certsOf opens a certs-only answer.
func certsOf(t *testing.T, body string) []*x509.Certificate {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		t.Fatalf("the answer is not base64: %v", err)
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		t.Fatalf("the answer is not certs-only: %v", err)
	}
	return certs
}

// EST-7030-4.2.3-01, EST-7030-4.2.3-02, EST-7030-4.2.3-03.
// RFC 7030, Section 4.2.3; libest compares the bytes of Content-Type.
// BRSKI-EST-7030-4.2-01: base64 of a PKCS#10 in, certs-only out.
func TestEnrollAnswersInTheFormAllClientsRead(t *testing.T) {
	s := newSite(t)
	got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\n", b64(goodCSR(t, "device"))))
	for _, line := range []string{
		"HTTP/1.1 200 OK\r\n", "\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\n",
		"\r\nContent-Transfer-Encoding: base64\r\n", fmt.Sprintf("\r\nContent-Length: %d\r\n", len(got.body)),
	} {
		if !strings.Contains(got.head, line) {
			t.Errorf("the head lacks %q: %q", line, got.head)
		}
	}
	if n := strings.Count(got.head, "\r\n"); n > 16 {
		t.Errorf("%d header lines, libest reads 16", n)
	}
	certs := certsOf(t, got.body)
	if len(certs) != 1 || !certs[0].Equal(s.Issued()[0]) {
		t.Errorf("%d certificates in the answer, want the issued one alone (globalsign's client refuses more)", len(certs))
	}
	if len(s.TakeRefusals()) != 0 {
		t.Error("the observer was told of a refusal")
	}
}

// EST-7030-3.2.2-02, EST-7030-4.1.3-01, EST-7030-4.1.3-04, EST-7030-4.1.3-05.
// RFC 7030, Section 4.1.3. libest verifies the chain within the answer, and reads no line above about 1000 characters.
// BRSKI-EST-7030-4.1-01: certs-only, in base64, with the whole chain.
func TestCACertsHoldsTheChainWithItsRootInLines(t *testing.T) {
	s := newSite(t)
	got := s.raw(t, get("/.well-known/est/cacerts"))
	certs := certsOf(t, got.body)
	if len(certs) != 2 || !certs[0].Equal(s.CA.Certificate) || certs[1].CheckSignatureFrom(certs[1]) != nil {
		t.Errorf("cacerts holds %d certificates, want the issuing CA and the root", len(certs))
	}
	if got.header.Get("Content-Type") != "application/pkcs7-mime; smime-type=certs-only" ||
		got.header.Get("Content-Transfer-Encoding") != "base64" || got.header.Get("Content-Length") != fmt.Sprint(len(got.body)) {
		t.Errorf("cacerts header is %v", got.header)
	}
	all := strings.SplitAfter(got.body, "\n")
	for i, line := range all[:len(all)-1] {
		if want := 65; i < len(all)-2 && len(line) != want {
			t.Errorf("line %d has %d bytes, want %d", i, len(line), want)
		}
	}
	if last := all[len(all)-1]; last != "" {
		t.Errorf("cacerts does not end with LF but with %q", last)
	}
	head := s.raw(t, "HEAD /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n")
	if head.status != 200 || head.header.Get("Content-Length") != got.header.Get("Content-Length") {
		t.Errorf("HEAD gives %d with %v, want the header of GET", head.status, head.header)
	}
}

// RFC 7030, Section 4.1.2 and 4.5: no client is turned away, whatever certificate it offers.
// BRSKI-EST-7030-4.1-01: no client certificate is needed.
func TestCACertsAndCSRAttrsAskNobodyToAuthenticate(t *testing.T) {
	s := newSite(t)
	foreign := testpki.NewRoot(t, "foreign").Client(t, "device").TLS()
	for what, cfg := range map[string]*tls.Config{
		"no certificate": {}, "a foreign certificate": {Certificates: []tls.Certificate{foreign}},
	} {
		for path, want := range map[string]int{"/.well-known/est/cacerts": 200, "/.well-known/est/csrattrs": 204} {
			if got := s.rawTLS(t, cfg, get(path)); got.status != want {
				t.Errorf("%s with %s: %d, want %d", path, what, got.status, want)
			}
		}
	}
}

// RFC 7030, Section 4.5.2. An empty list would make libest's example client ask for ever.
// BRSKI-EST-7030-4.5-01: base64 of DER, or 204.
func TestCSRAttrsAreSentOrAre204WithoutBody(t *testing.T) {
	s := newSite(t)
	for what, attrs := range map[string][]byte{"none": nil, "an empty list": {0x30, 0}} {
		s.Attrs = attrs
		got := s.raw(t, get("/.well-known/est/csrattrs"))
		if got.status != 204 || got.body != "" || got.header.Get("Content-Type") != "" {
			t.Errorf("csrattrs with %s: %d %v %q, want a bare 204", what, got.status, got.header, got.body)
		}
	}
	s.Attrs = tlv(0x30, string(tlv(6, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")))
	got := s.raw(t, get("/.well-known/est/csrattrs"))
	if got.status != 200 || got.header.Get("Content-Type") != "application/csrattrs" || got.body != b64(s.Attrs)+"\n" {
		t.Errorf("csrattrs: %d %v %q", got.status, got.header, got.body)
	}
	bare := &est.Handler{Backend: struct{ est.Backend }{s.Backend}, AllowPlaintext: true}
	w := httptest.NewRecorder()
	bare.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/est/csrattrs", nil))
	if w.Code != 204 {
		t.Errorf("csrattrs of a backend without the ability: %d, want 204", w.Code)
	}
}

// EST-7030-4.2.1-05, EST-8951-3-01, EST-8951-3-02, EST-9110-5.1-01, EST-9110-8.3.1-01, EST-9112-7.1-01.
// RFC 8951, Sections 3 and 3.1; est-clients: libest sends lines of 64, globalsign one line with CRLF in chunks,
// strongSwan one line without end, curl what it is told.
// BRSKI-EST-8951-3-01: whatever the lines, with and without Content-Transfer-Encoding.
func TestEnrollTakesTheBodyOfEveryClient(t *testing.T) {
	s := newSite(t)
	s.Labels = []string{"ca:1", "Fab-2.west_3"}
	csr := b64(goodCSR(t, "device"))
	chunked := func(s string) string {
		var b strings.Builder
		for _, part := range []string{s[:100], s[100:101], s[101:]} {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
		}
		return b.String() + "0\r\n\r\n"
	}
	for what, request := range map[string]string{
		"strongSwan: one line, no end":     post(enrollPath, pkcs10+"BASIC\r\n", csr),
		"libest: lines of 64, LF":          post(enrollPath, pkcs10+"BASIC\r\n", lines(csr, 64, "\n")),
		"globalsign: one line, CRLF":       "POST " + enrollPath + " HTTP/1.1\r\nHost: a\r\n" + pkcs10 + "Content-Transfer-Encoding: base64\r\nBASIC\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(csr+"\r\n"),
		"old globalsign: 76 columns, CRLF": post(enrollPath, pkcs10+"BASIC\r\n", lines(csr, 76, "\r\n")),
		"blank lines, blanks and tabs":     post(enrollPath, pkcs10+"BASIC\r\n", "\r\n\n  "+lines(csr, 5, " \t\v\f\r")+"\n\n"),
		"CTE binary":                       post(enrollPath, pkcs10+"Content-Transfer-Encoding: binary\r\nBASIC\r\n", csr),
		"CTE 8bit":                         post(enrollPath, pkcs10+"Content-Transfer-Encoding: 8bit\r\nBASIC\r\n", csr),
		"a type in capitals":               post(enrollPath, "content-type: Application/PKCS10\r\nBASIC\r\n", csr),
		"a type with parameters":           post(enrollPath, "Content-Type: application/pkcs10; charset=utf-8\r\nBASIC\r\n", csr),
		"a type with a quoted parameter":   post(enrollPath, "CONTENT-TYPE: APPLICATION/PKCS10; Charset=\"utf-8\"\r\nBASIC\r\n", csr),
		"a type with a bad parameter":      post(enrollPath, "Content-Type: application/pkcs10 ; charset\r\nBASIC\r\n", csr),
		"a type with doubled parameters":   post(enrollPath, "Content-Type: application/pkcs10; a=1; a=2\r\nBASIC\r\n", csr),
		"identity":                         post(enrollPath, pkcs10+"Content-Encoding: identity\r\nBASIC\r\n", csr),
		"HTTP/1.0":                         fmt.Sprintf("POST %s HTTP/1.0\r\n%sBASIC\r\nContent-Length: %d\r\n\r\n%s", enrollPath, pkcs10, len(csr), csr),
		"a full URI":                       post("https://another.example"+enrollPath, pkcs10+"BASIC\r\n", csr),
		"Bouncy Castle: a query":           post(enrollPath+"?x=y", pkcs10+"BASIC\r\n", csr),
		"Aruba: a label with a colon":      post("/.well-known/est/ca:1/simpleenroll", pkcs10+"BASIC\r\n", csr),
		"a label with all characters":      post("/.well-known/est/Fab-2.west_3/simpleenroll", pkcs10+"BASIC\r\n", csr),
		"a Host of somebody else":          strings.Replace(post(enrollPath, pkcs10+"BASIC\r\n", csr), "est.example", "evil.example", 1),
	} {
		if got := s.raw(t, request); got.status != 200 {
			t.Errorf("%s: %d %q, want 200", what, got.status, got.body)
		}
	}
}

// est-clients: curl sends Expect for large bodies.
func TestEnrollContinuesAClientThatExpectsIt(t *testing.T) {
	s := newSite(t)
	csr := b64(goodCSR(t, "device"))
	conn := s.dial(t, &tls.Config{})
	r := bufio.NewReader(conn)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\n%sAuthorization: Basic %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		enrollPath, pkcs10, b64([]byte("device:secret")), len(csr))
	if got := readWire(t, r, "POST"); got.status != 100 {
		t.Fatalf("answered %d before the body, want 100", got.status)
	}
	fmt.Fprint(conn, csr)
	if got := readWire(t, r, "POST"); got.status != 200 {
		t.Errorf("answered %d after the body: %s", got.status, got.body)
	}
}

// est-clients, section 2, item 9: the body is read first, so that the connection goes on.
func TestARefusalLeavesTheConnectionInUse(t *testing.T) {
	s := newSite(t)
	conn := s.dial(t, &tls.Config{})
	r := bufio.NewReader(conn)
	csr := b64(goodCSR(t, "device"))
	for _, c := range []struct {
		request string
		status  int
	}{
		{post(enrollPath, pkcs10, csr), 401},
		{post("/.well-known/est/cacerts", pkcs10, strings.Repeat("x", 100<<10)), 405},
		{post("/.well-known/est/nothing", pkcs10, csr), 404},
		{post(enrollPath, "", csr), 415},
		{post(enrollPath, pkcs10, strings.Repeat("A", 129<<10)), 413},
		{strings.Replace(post(enrollPath, pkcs10+"BASIC\r\n", csr), "BASIC", "Authorization: Basic "+b64([]byte("device:secret")), 1), 200},
	} {
		if _, err := io.WriteString(conn, c.request); err != nil {
			t.Fatalf("the connection was closed before the %d: %v", c.status, err)
		}
		if got := readWire(t, r, "POST"); got.status != c.status {
			t.Errorf("got %d %q, want %d", got.status, got.body, c.status)
		}
	}
}

// RFC 7030, Section 4.2.3; libest and strongSwan read seconds only, Bouncy Castle breaks on a body.
// BRSKI-EST-7030-4.2-01: 202 with Retry-After while it is pending.
func TestPendingIsAnEmpty202WithWholeSeconds(t *testing.T) {
	s := newSite(t)
	for wait, want := range map[time.Duration]string{time.Nanosecond: "1", 90 * time.Second: "90", 1500 * time.Millisecond: "2", time.Hour: "3600"} {
		s.Wait = wait
		got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\n", b64(goodCSR(t, "device"))))
		if got.status != 202 || got.header.Get("Retry-After") != want || got.header.Get("Content-Length") != "0" || got.body != "" {
			t.Errorf("waiting %v: %d %v %q, want an empty 202 with Retry-After %s", wait, got.status, got.header, got.body, want)
		}
	}
	if len(s.Issued()) != 0 || len(s.TakeRefusals()) != 0 {
		t.Error("a wait was observed as a refusal, or something was issued")
	}
}

func TestAnErrorThatIsNotMeantForThePeerIsABare500(t *testing.T) {
	s := newSite(t)
	var log bytes.Buffer
	s.handler.Log = slog.New(slog.NewTextHandler(&log, nil))
	for what, fail := range map[string]func(error){
		"before it issued": func(err error) { s.FailBefore, s.FailAfter = err, nil },
		"after it issued":  func(err error) { s.FailBefore, s.FailAfter = nil, err },
	} {
		fail(errors.New("disk canary is full"))
		got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\n", b64(goodCSR(t, "device"))))
		if got.status != 500 || strings.Contains(got.body, "canary") || strings.Contains(got.head, "pkcs7") {
			t.Errorf("a backend that fails %s: %d %q", what, got.status, got.body)
		}
		if r := s.TakeRefusals(); len(r) != 1 || r[0].Error.Reason != est.ReasonInternal || !strings.Contains(r[0].Error.Error(), "canary") {
			t.Errorf("a backend that fails %s: observed %v", what, r)
		}
	}
	if !strings.Contains(log.String(), "disk canary is full") || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log lacks the cause: %s", log.String())
	}
}

// broken is a Backend whose answers are worthless.
type broken struct{ *esttest.Backend }

func (broken) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) { return nil, nil }
func (broken) Enroll(context.Context, *est.EnrollRequest) ([]byte, error) {
	return []byte("nonsense"), nil
}

func TestWorthlessAnswersOfTheBackendAreNotPassedOn(t *testing.T) {
	s := newSite(t)
	url := s.Serve(&est.Handler{Backend: broken{s.Backend}})
	c := &est.Client{URL: url, Roots: s.Root(), User: "device", Password: "secret"}
	defer c.CloseIdleConnections()
	_, caErr := c.CACerts(t.Context())
	_, enrollErr := c.SimpleEnroll(t.Context(), goodCSR(t, "device"))
	for op, err := range map[string]error{"CACerts": caErr, "SimpleEnroll": enrollErr} {
		var status *est.StatusError
		if !errors.As(err, &status) || status.Status != 500 {
			t.Errorf("%s: %v, want status 500", op, err)
		}
	}
}

// R15 of the incidents that are kept as tests: secrets never leave.
func TestNoSecretReachesTheLog(t *testing.T) {
	s := newSite(t)
	var log bytes.Buffer
	s.handler.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secret := "canary-of-the-log"
	got := s.raw(t, post(enrollPath, pkcs10+"Authorization: Basic "+b64([]byte("mallory:"+secret))+"\r\n", b64(goodCSR(t, "device"))))
	if got.status != 401 || !strings.Contains(log.String(), "mallory") {
		t.Fatalf("status %d, log %s", got.status, log.String())
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), b64([]byte("mallory:"+secret))) {
		t.Errorf("the password is in the log: %s", log.String())
	}
}

// EST-7030-3.3-01.
// RFC 7030, Section 3.3.
func TestWithoutTLSNothingIsServed(t *testing.T) {
	b := esttest.New(t)
	for _, allowed := range []bool{false, true} {
		h := &est.Handler{Backend: b, AllowPlaintext: allowed}
		r := httptest.NewRequest("GET", "/.well-known/est/cacerts", nil)
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := map[bool]int{false: 403, true: 200}[allowed]; w.Code != want {
			t.Errorf("plaintext allowed %v: %d, want %d", allowed, w.Code, want)
		}
	}
	if r := b.TakeRefusals(); len(r) != 1 || r[0].Error.Reason != est.ReasonTLSRequired {
		t.Errorf("observed %v", r)
	}
}

// gate is a Backend that admits nobody, and fails the test when a body is read before that.
type gate struct{ *esttest.Backend }

func (gate) Admit(context.Context, *est.Request) error {
	return &est.Error{Status: 503, Reason: "overload", Message: "Busy.", RetryAfter: 7 * time.Second}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the backend admitted the request")
	return 0, io.EOF
}

func TestAdmitDecidesBeforeTheBodyIsRead(t *testing.T) {
	h := &est.Handler{Backend: gate{esttest.New(t)}}
	r := httptest.NewRequest("POST", "https://est.example"+enrollPath, unread{t})
	r.ContentLength = 1 << 30 // more than a refusal would read away
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get("Retry-After") != "7" {
		t.Errorf("%d %v, want 503 with Retry-After 7", w.Code, w.Header())
	}
}

// stalled is a body that ends with err after its text.
type stalled struct {
	io.Reader
	err error
}

func (s stalled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = s.err
	}
	return n, err
}

func TestABodyThatBreaksOffOrTakesTooLongIsRefused(t *testing.T) {
	for err, want := range map[error]string{
		io.ErrUnexpectedEOF: est.ReasonBodyRead, fmt.Errorf("read: %w", os.ErrDeadlineExceeded): est.ReasonBodyTimeout,
	} {
		b := esttest.New(t)
		r := httptest.NewRequest("POST", "https://est.example"+enrollPath, stalled{strings.NewReader("MIIB"), err})
		r.Header.Set("Content-Type", "application/pkcs10")
		(&est.Handler{Backend: b}).ServeHTTP(httptest.NewRecorder(), r)
		if got := b.TakeRefusals(); len(got) != 1 || got[0].Error.Reason != want {
			t.Errorf("a body that ends with %v: observed %v, want %s", err, got, want)
		}
	}
}

func TestMaxBodyAndRealmAndClockAreTheHandlersOwn(t *testing.T) {
	b := esttest.New(t)
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	h := &est.Handler{Backend: b, MaxBody: 100, Realm: "fab \"7\"\r\n", Now: func() time.Time { return at }}
	s := &site{Backend: b, handler: h, url: b.Serve(h)}
	if got := s.raw(t, post(enrollPath, pkcs10, strings.Repeat("A", 101))); got.status != 413 {
		t.Errorf("101 bytes with MaxBody 100: %d", got.status)
	}
	if r := b.TakeRefusals(); len(r) != 1 || !r[0].Request.At.Equal(at) {
		t.Errorf("observed %v, want it at %v", r, at)
	}
	w := httptest.NewRecorder()
	est.WriteError(w, httptest.NewRequest("GET", "/", nil), h.Realm, &est.Error{Status: 401})
	//lint:ignore SA1008 the spelling is what is tested
	if got := w.Header()["WWW-Authenticate"]; len(got) != 1 || got[0] != `Basic realm="fab '7'"` {
		t.Errorf("challenge %q", got)
	}
}

func TestWriteErrorSendsNothingThatBreaksALine(t *testing.T) {
	for _, c := range []struct {
		e          *est.Error
		status     int
		body       string
		retryAfter string
	}{
		{&est.Error{Status: 404, Reason: "gone", Message: "Not here.", Section: "RFC 7030, Section 4"}, 404, "Not here.\nreason: gone, RFC 7030, Section 4\n", ""},
		{&est.Error{Status: 403, Message: "a\r\nb\x00c \u00e9"}, 403, "a b?c ?\n", ""},
		{&est.Error{Status: 418}, 418, "I'm a teapot\n", ""},
		{&est.Error{Status: 200, Message: "no error at all"}, 500, "no error at all\n", ""},
		{&est.Error{Status: 0}, 500, "Internal Server Error\n", ""},
		{&est.Error{Status: 503, Message: "m", RetryAfter: 1}, 503, "m\n", "1"},
		{&est.Error{Status: 429, Message: "m", RetryAfter: time.Minute}, 429, "m\n", "60"},
		{&est.Error{Status: 400, Message: "m", RetryAfter: time.Minute}, 400, "m\n", ""},
		{&est.Error{Status: 202, Message: "m"}, 202, "", "30"},
	} {
		w := httptest.NewRecorder()
		est.WriteError(w, httptest.NewRequest("POST", "/", strings.NewReader("body")), "", c.e)
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Retry-After") != c.retryAfter ||
			w.Header().Get("Content-Length") != fmt.Sprint(len(c.body)) {
			t.Errorf("WriteError(%+v) = %d %v %q", c.e, w.Code, w.Header(), w.Body.String())
		}
	}
	long := est.Printable(strings.Repeat("x", 500), 400)
	if len(long) != 400 || !strings.HasSuffix(long, "...") {
		t.Errorf("a long message has %d bytes and ends %q", len(long), long[len(long)-3:])
	}
}

// RFC 8951, Section 3.1.
func TestEnrollDecidesOnTheBodyVectors(t *testing.T) {
	dir := vectors(t)
	s := newSite(t)
	files, err := filepath.Glob(filepath.Join(dir, "constructed", "*body-*"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d body vectors: %v", len(files), err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := 200
		if strings.HasPrefix(filepath.Base(file), "neg-") {
			want = 400
		}
		if got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\n", string(body))); got.status != want {
			t.Errorf("%s: %d %q, want %d", filepath.Base(file), got.status, got.body, want)
		}
	}
}

func TestEveryRequestHasAnIDOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 10000 {
		id := est.NewRequestID()
		if seen[id] || len(id) != 20 {
			t.Fatalf("NewRequestID = %q, seen before: %v", id, seen[id])
		}
		seen[id] = true
	}
}

var _ http.Handler = (*est.Handler)(nil)
