package brski_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// masa records what it is asked and answers as it is told.
type masa struct {
	mu       sync.Mutex
	requests []*brski.MASARequest // guarded by mu
	refused  []string             // by est.Observer; guarded by mu
	voucher  *brski.Voucher
	log      *brski.AuditLog
	err      error
}

func (m *masa) note(r *brski.MASARequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
}

func (m *masa) RequestVoucher(_ context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	m.note(r)
	return m.voucher, m.err
}

func (m *masa) RequestAuditLog(_ context.Context, r *brski.MASARequest) (*brski.AuditLog, error) {
	m.note(r)
	return m.log, m.err
}

func (m *masa) Refused(_ context.Context, r *est.Request, e *est.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = append(m.refused, string(r.Operation)+" "+e.Reason)
}

type masaSite struct {
	masa      *masa
	root      *testpki.Identity
	registrar *testpki.Identity
	url       string // with /.well-known/brski
	client    *http.Client
}

func newMASASite(t testing.TB) *masaSite {
	t.Helper()
	s := &masaSite{masa: &masa{voucher: &brski.Voucher{MediaType: cmsType, Raw: []byte("voucher")}}, root: testpki.NewRoot(t, "root")}
	h := &brski.MASAHandler{MASA: s.masa, Formats: []voucher.Format{vouchercms.Format{}, other{}}}
	s.url = brskitest.Serve(t, s.root.Server(t, "masa"), h) + brski.PathPrefix
	s.registrar = s.root.Registrar(t, "registrar")
	s.client = clientOf(t, s.root, nil)
	return s
}

func (s *masaSite) masaClient(t testing.TB) *brski.MASAClient {
	certificate := s.registrar.TLS()
	c := &brski.MASAClient{URL: s.url, Roots: s.root.Pool(), Certificate: &certificate}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func ask() *brski.MASARequest {
	return &brski.MASARequest{MediaType: cmsType, Raw: []byte("request"), Accept: []string{cmsType}, At: time.Now()}
}

// RFC 8995, Section 5.5.
func TestMASAClientAndHandlerPassBytesOn(t *testing.T) {
	s := newMASASite(t)
	v, err := s.masaClient(t).RequestVoucher(t.Context(), ask())
	if err != nil || string(v.Raw) != "voucher" || v.MediaType != cmsType {
		t.Fatalf("RequestVoucher = %+v, %v", v, err)
	}
	r := s.masa.requests[0]
	if string(r.Raw) != "request" || r.MediaType != cmsType || !slices.Equal(r.Accept, []string{cmsType}) || r.Peer == nil || r.At.IsZero() {
		t.Errorf("MASARequest = %+v, want the bytes, their type, Accept, peer and time", r)
	}
	if !r.Registrar.Equal(s.registrar.Certificate) {
		t.Errorf("MASARequest.Registrar = %v, want the TLS client certificate", r.Registrar)
	}
}

// RFC 8995, Section 5.8.
func TestAuditLogTravels(t *testing.T) {
	s := newMASASite(t)
	nonce := "VOUFT-WwrEv0NuAQEHoV7Q"
	s.masa.log = &brski.AuditLog{Events: []brski.AuditEvent{
		{Date: time.Unix(1e9, 0).UTC(), DomainID: "BduJhdHPpfhQLyponf48JzXSGZ8=", Nonce: &nonce, Assertion: voucher.Proximity},
		{Date: time.Unix(2e9, 0).UTC(), DomainID: "BduJhdHPpfhQLyponf48JzXSGZ8=", Assertion: voucher.Verified, Truncated: 3},
	}}
	l, err := s.masaClient(t).RequestAuditLog(t.Context(), ask())
	if err != nil {
		t.Fatalf("RequestAuditLog: %v", err)
	}
	const want = `{"version":1,"events":[` +
		`{"date":"2001-09-09T01:46:40Z","domainID":"BduJhdHPpfhQLyponf48JzXSGZ8=","nonce":"VOUFT-WwrEv0NuAQEHoV7Q","assertion":"proximity"},` +
		`{"date":"2033-05-18T03:33:20Z","domainID":"BduJhdHPpfhQLyponf48JzXSGZ8=","nonce":null,"assertion":"verified","truncated":3}],"truncation":{}}`
	if string(l.Raw) != want {
		t.Errorf("on the wire: %s\nwant %s", l.Raw, want)
	}
	if l.Version != 1 || len(l.Events) != 2 || *l.Events[0].Nonce != nonce || l.Events[1].Nonce != nil || l.Events[1].Truncated != 3 {
		t.Errorf("log = %+v", l)
	}
	if r := s.masa.requests[0]; !slices.Equal(r.Accept, []string{"application/json"}) {
		t.Errorf("Accept = %v, want application/json", r.Accept)
	}
}

// R28: the whole request is checked before anything irreversible is asked for.
func TestMASAHandlerRefusesBeforeItAsks(t *testing.T) {
	s := newMASASite(t)
	const voucherPath, logPath = "/requestvoucher", "/requestauditlog"
	for _, c := range []struct {
		name, method, path string
		size               int
		header             []string
		status             int
		reason             string
	}{
		{"registrar's operation", "POST", "/voucher_status", 1, []string{typeJSON}, 404, " path-operation"},
		{"slash", "POST", voucherPath + "/", 1, []string{typeCMS}, 404, " path-slash"},
		{"dots", "POST", "/x/.." + voucherPath, 1, []string{typeCMS}, 404, " path-dots"},
		{"encoded", "POST", "/%72equestvoucher", 1, []string{typeCMS}, 404, " path-encoding"},
		{"GET", "GET", voucherPath, 0, nil, 405, "requestvoucher method-not-allowed"},
		{"GET of the log", "GET", logPath, 0, nil, 405, "requestauditlog method-not-allowed"},
		{"no type", "POST", voucherPath, 1, nil, 415, "requestvoucher media-type"},
		{"JSON", "POST", logPath, 1, []string{typeJSON}, 415, "requestauditlog media-type"},
		{"compressed", "POST", voucherPath, 1, []string{typeCMS, "Content-Encoding: br"}, 415, "requestvoucher content-encoding"},
		{"Accept", "POST", voucherPath, 1, []string{typeCMS, "Accept: application/pdf"}, 406, "requestvoucher not-acceptable"},
		{"Accept of the log", "POST", logPath, 1, []string{typeCMS, "Accept: " + cmsType}, 406, "requestauditlog not-acceptable"},
		{"empty", "POST", voucherPath, 0, []string{typeCMS}, 400, "requestvoucher body-empty"},
		{"too large", "POST", voucherPath, 257 << 10, []string{typeCMS}, 413, "requestvoucher body-too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(t, s.client, c.method, s.url+c.path, make([]byte, c.size), c.header...)
			if last := s.masa.refused[len(s.masa.refused)-1]; a.status != c.status || last != c.reason || a.body == "" {
				t.Errorf("%d %q %q, want %d %q and a text", a.status, last, a.body, c.status, c.reason)
			}
		})
	}
	if n := len(s.masa.requests); n != 0 {
		t.Errorf("the MASA was asked %d times", n)
	}
}

// N1: nqminds' registrar sends base64 where RFC 8995, Section 6 has binary.
func TestMASAHandlerTakesBase64OnlyWhereToldAndNoClientCertificate(t *testing.T) {
	der := []byte{0x30, 3, 2, 1, 7}
	text := []byte(base64.StdEncoding.EncodeToString(der))
	for _, take := range []bool{false, true} {
		m := &masa{voucher: &brski.Voucher{MediaType: cmsType, Raw: []byte("voucher")}}
		root := testpki.NewRoot(t, "root")
		h := &brski.MASAHandler{MASA: m, Formats: brskitest.Formats(), TakeBase64: take}
		url := brskitest.Serve(t, root.Server(t, "masa"), h) + brski.PathPrefix
		for _, body := range [][]byte{der, text} {
			send(t, clientOf(t, root, nil), "POST", url+"/requestvoucher", body, typeCMS)
		}
		want := text
		if take {
			want = der
		}
		if r := m.requests; len(r) != 2 || !bytes.Equal(r[0].Raw, der) || !bytes.Equal(r[1].Raw, want) || r[0].Registrar != nil {
			t.Errorf("TakeBase64 %t: requests %+v; want the DER and %q", take, r, want)
		}
	}
}

func TestMASAHandlerServesAnotherPath(t *testing.T) {
	m := &masa{voucher: &brski.Voucher{MediaType: cmsType, Raw: []byte("voucher")}}
	root := testpki.NewRoot(t, "root")
	url := brskitest.Serve(t, root.Server(t, "masa"), &brski.MASAHandler{MASA: m, Formats: brskitest.Formats(), Path: "/vendor/masa/"})
	c := &brski.MASAClient{URL: url + "/vendor/masa", Roots: root.Pool()}
	t.Cleanup(c.CloseIdleConnections)
	if _, err := c.RequestVoucher(t.Context(), ask()); err != nil {
		t.Errorf("RequestVoucher: %v", err)
	}
}

// fakeMASA answers every request with h.
func fakeMASA(t testing.TB, h http.HandlerFunc) *brski.MASAClient {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	c := &brski.MASAClient{URL: brskitest.Serve(t, root.Server(t, "masa"), h) + brski.PathPrefix, Roots: root.Pool()}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func answerWith(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// R29: each status of a MASA, and what it is downstream.
func TestMASAClientTellsFailuresApart(t *testing.T) {
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", cmsType)
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte{0x30})
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		answer      http.HandlerFunc
		unavailable bool
		status      int // MASAError.Status
		downstream  int
	}{
		"400":           {answerWith(400, "text/plain", "bad"), false, 400, 502},
		"401":           {answerWith(401, "text/plain", "who"), false, 401, 502},
		"403":           {answerWith(403, "text/plain", "no"), false, 403, 403},
		"404":           {answerWith(404, "text/plain", "unknown"), false, 404, 404},
		"406":           {answerWith(406, "text/plain", "cannot"), false, 406, 406},
		"415":           {answerWith(415, "text/plain", "type"), false, 415, 502},
		"429":           {answerWith(429, "text/plain", "slower"), true, 429, 502},
		"202":           {answerWith(202, "text/plain", ""), true, 202, 502},
		"204":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, false, 204, 502},
		"201":           {answerWith(201, cmsType, "voucher"), false, 201, 502},
		"302":           {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, false, 302, 502},
		"500":           {answerWith(500, "text/plain", "oops"), true, 500, 502},
		"502":           {answerWith(502, "text/html", "<h1>Bad Gateway</h1>"), true, 502, 502},
		"503":           {answerWith(503, "text/plain", "busy"), true, 503, 502},
		"504":           {answerWith(504, "text/plain", ""), true, 504, 502},
		"empty (N11)":   {answerWith(200, cmsType, ""), false, 200, 502},
		"another type":  {answerWith(200, "text/plain", "voucher"), false, 200, 502},
		"no type":       {answerWith(200, "", "voucher"), false, 200, 502},
		"2 MB":          {answerWith(200, cmsType, strings.Repeat("x", 2<<20)), false, 200, 502},
		"cut":           {broken, true, 0, 504},
		"cut at once":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true, 0, 504},
		"binary, hello": {answerWith(403, "text/plain", "a\x00\x1b[31m\nb"), false, 403, 403},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := fakeMASA(t, c.answer).RequestVoucher(t.Context(), ask())
			var e *brski.MASAError
			var downstream *est.Error
			if v != nil || !errors.As(err, &e) || !errors.As(err, &downstream) {
				t.Fatalf("RequestVoucher = %v, %v; want a MASAError", v, err)
			}
			if errors.Is(err, brski.ErrMASAUnavailable) != c.unavailable || e.Status != c.status || downstream.Status != c.downstream {
				t.Errorf("%v: unavailable %v, status %d, downstream %d; want %v, %d, %d", err,
					errors.Is(err, brski.ErrMASAUnavailable), e.Status, downstream.Status, c.unavailable, c.status, c.downstream)
			}
			if downstream.Message == "" || strings.ContainsAny(downstream.Message+e.Message, "\x00\x1b\n") {
				t.Errorf("message = %q, %q; want printable text", downstream.Message, e.Message)
			}
		})
	}
}

// F3.
func TestMASAClientTakesMediaTypeParameters(t *testing.T) {
	v, err := fakeMASA(t, answerWith(200, cmsType+"; charset=utf-8", "voucher")).RequestVoucher(t.Context(), ask())
	if err != nil || v.MediaType != cmsType {
		t.Errorf("RequestVoucher = %+v, %v", v, err)
	}
}

// H1: minerva's highway answers 406 or 500 without.
func TestMASAClientAlwaysSendsAccept(t *testing.T) {
	var seen atomic.Value
	c := fakeMASA(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Accept") + "|" + r.Header.Get("Content-Type") + "|" + r.Header.Get("Accept-Encoding"))
		answerWith(200, cmsType, "voucher")(w, r)
	})
	if _, err := c.RequestVoucher(t.Context(), ask()); err != nil {
		t.Fatalf("RequestVoucher: %v", err)
	}
	if got := seen.Load(); got != cmsType+"|"+cmsType+"|" {
		t.Errorf("Accept|Content-Type|Accept-Encoding = %q", got)
	}
	r := ask()
	r.Accept = nil
	if _, err := c.RequestVoucher(t.Context(), r); err == nil {
		t.Errorf("RequestVoucher without Accept was sent")
	}
}

func TestMASAClientNeedsHTTPSAndTheRightServer(t *testing.T) {
	for _, url := range []string{"", "http://127.0.0.1:1/x", "https://", "https://u:p@127.0.0.1:1", "https://127.0.0.1:1/?q", "ftp://x"} {
		_, err := (&brski.MASAClient{URL: url}).RequestVoucher(t.Context(), ask())
		var e *brski.MASAError
		if !errors.As(err, &e) || errors.Is(err, brski.ErrMASAUnavailable) {
			t.Errorf("URL %q: %v, want a MASAError that does not pass", url, err)
		}
	}
	c := fakeMASA(t, answerWith(200, cmsType, "voucher"))
	c.Roots = testpki.NewRoot(t, "another").Pool()
	if _, err := c.RequestVoucher(t.Context(), ask()); err == nil || errors.Is(err, brski.ErrMASAUnavailable) {
		t.Errorf("a MASA of another root: %v, want an error that does not pass", err)
	}
	_, err := (&brski.MASAClient{URL: "https://127.0.0.1:1"}).RequestVoucher(t.Context(), ask())
	if !errors.Is(err, brski.ErrMASAUnavailable) {
		t.Errorf("no MASA: %v, want %v", err, brski.ErrMASAUnavailable)
	}
}

func TestMASAClientTellsItsCallersEndFromTheMASAs(t *testing.T) {
	release := make(chan struct{})
	c := fakeMASA(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.RequestVoucher(ctx, ask()); !errors.Is(err, context.Canceled) || errors.Is(err, brski.ErrMASAUnavailable) {
		t.Errorf("canceled: %v, want %v alone", err, context.Canceled)
	}
	c.Timeout = time.Millisecond
	if _, err := c.RequestVoucher(t.Context(), ask()); !errors.Is(err, brski.ErrMASAUnavailable) {
		t.Errorf("timeout: %v, want %v", err, brski.ErrMASAUnavailable)
	}
}

// RFC 8995, Section 5.8: 201 with the place of the log.
// BRSKI-8995-5.8-10.
func TestMASAClientFetchesALogThatWasPutElsewhere(t *testing.T) {
	const log = `{"version":1,"events":[],"truncation":{}}`
	for location, ok := range map[string]bool{"/logs/1": true, "https://127.0.0.2:9/logs/1": false, "http://127.0.0.1/logs/1": false, "": false} {
		var fetched atomic.Bool
		c := fakeMASA(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Path == "/logs/1" {
				fetched.Store(true)
				answerWith(200, "application/json", log)(w, r)
				return
			}
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(http.StatusCreated)
		})
		l, err := c.RequestAuditLog(t.Context(), ask())
		if (err == nil) != ok || fetched.Load() != ok || (ok && string(l.Raw) != log) {
			t.Errorf("Location %q: %v, %v, fetched %v; want ok %v", location, l, err, fetched.Load(), ok)
		}
	}
}

func TestWorldIssuesAVoucherAndItsLog(t *testing.T) {
	w := brskitest.New(t)
	c := &brski.MASAClient{URL: w.MASAURL, Roots: w.Vendor.Pool()}
	t.Cleanup(c.CloseIdleConnections)
	_, err := c.RequestVoucher(t.Context(), ask())
	var e *brski.MASAError
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Errorf("RequestVoucher with nonsense = %v, want 403", err)
	}
	if w.MASA.Issued() != 0 {
		t.Errorf("a voucher was issued")
	}
}
