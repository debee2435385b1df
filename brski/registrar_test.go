package brski_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

const cmsType = vouchercms.MediaType

// backend records and answers as it is told.
type backend struct {
	mu       sync.Mutex
	requests []*brski.VoucherRequest // guarded by mu
	statuses []*brski.StatusReport   // guarded by mu
	refusals []string                // reason ids; guarded by mu
	admit    error
	voucher  *brski.Voucher
	err      error
}

func (b *backend) RequestVoucher(_ context.Context, r *brski.VoucherRequest) (*brski.Voucher, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, r)
	return b.voucher, b.err
}

func (b *backend) VoucherStatus(_ context.Context, s *brski.StatusReport) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.statuses = append(b.statuses, s)
	return b.err
}

func (b *backend) EnrollStatus(ctx context.Context, s *brski.StatusReport) error {
	return b.VoucherStatus(ctx, s)
}

func (b *backend) Admit(context.Context, *brski.Call) error { return b.admit }

func (b *backend) Refused(_ context.Context, _ *brski.Call, e *est.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = append(b.refusals, e.Reason)
}

func (b *backend) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.requests) + len(b.statuses)
}

func (b *backend) lastRefusal() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.refusals) == 0 {
		return ""
	}
	return b.refusals[len(b.refusals)-1]
}

// other is a second encoding that nothing can open.
type other struct{ vouchercms.Format }

func (other) MediaType() string { return "application/voucher-other" }

// site is a registrar handler over a backend, and a device that talks to it.
type site struct {
	t       testing.TB
	backend *backend
	url     string
	device  *testpki.Identity
	client  *http.Client
}

func newSite(t testing.TB) *site {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	s := &site{t: t, backend: &backend{voucher: &brski.Voucher{MediaType: cmsType, Raw: []byte("voucher")}}}
	h := &brski.RegistrarHandler{Backend: s.backend, Formats: []voucher.Format{vouchercms.Format{}, other{}}}
	s.url = brskitest.Serve(t, root.Server(t, "registrar"), h)
	s.device = root.IDevID(t, "SN-1", "")
	s.client = clientOf(t, root, s.device)
	return s
}

// clientOf returns a client with id's certificate; a nil id has none.
func clientOf(t testing.TB, root, id *testpki.Identity) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: root.Pool(), MinVersion: tls.VersionTLS12}
	if id != nil {
		config.Certificates = []tls.Certificate{id.TLS()}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// request signs a voucher-request as id.
func request(t testing.TB, id *testpki.Identity, change ...func(*voucher.Request)) []byte {
	t.Helper()
	r := &voucher.Request{
		Assertion: voucher.Proximity, SerialNumber: "SN-1", Nonce: voucher.NewNonce(), CreatedOn: time.Now(),
		ProximityRegistrarCert: id.Certificate.Raw,
	}
	for _, f := range change {
		f(r)
	}
	raw, err := vouchercms.Format{}.SignRequest(t.Context(), r, &voucher.Signer{Key: id.Key, Certificate: id.Certificate})
	if err != nil {
		t.Fatalf("SignRequest: %v", err)
	}
	return raw
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request; header holds "Name: value" lines.
func (s *site) do(method, path string, body []byte, header ...string) *answer {
	s.t.Helper()
	return send(s.t, s.client, method, s.url+path, body, header...)
}

func send(t testing.TB, client *http.Client, method, url string, body []byte, header ...string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return &answer{status: response.StatusCode, header: response.Header, body: string(text)}
}

const (
	requestVoucher = "/.well-known/brski/requestvoucher"
	voucherStatus  = "/.well-known/brski/voucher_status"
	enrollStatus   = "/.well-known/brski/enrollstatus"
	typeCMS        = "Content-Type: " + cmsType
	typeJSON       = "Content-Type: application/json"
)

// RFC 8995, Sections 5.2 and 5.6.
// BRSKI-8995-5.2-01, BRSKI-8995-5.6-01, BRSKI-8995-6-01: binary in, binary out.
func TestVoucherIsPassedOnByteForByte(t *testing.T) {
	s := newSite(t)
	raw := request(t, s.device)
	a := s.do("POST", requestVoucher, raw, typeCMS, "Accept: "+cmsType)
	if a.status != 200 || a.body != "voucher" || a.header.Get("Content-Type") != cmsType || a.header.Get("Content-Length") != "7" {
		t.Errorf("answer = %+v, want 200 with the backend's bytes, type and length", a)
	}
	r := s.backend.requests[0]
	if !bytes.Equal(r.Artifact.Raw, raw) || r.Request.SerialNumber != "SN-1" || r.ID == "" || r.At.IsZero() || r.Operation != brski.OpRequestVoucher {
		t.Errorf("VoucherRequest = %+v, want the artifact as sent and the call filled in", r)
	}
	if !r.Peer.Certificates[0].Equal(s.device.Certificate) || r.Format.MediaType() != cmsType {
		t.Errorf("VoucherRequest has peer %v and format %s", r.Peer.Certificates[0].Subject, r.Format.MediaType())
	}
}

// Every refusal has a status and a reason id, a body, and does not reach the backend (R2, R17, R28 of the regressions).
// BRSKI-8995-5.2-01: requestvoucher is a POST under /.well-known/brski.
func TestBadRequestsAreRefusedBeforeTheBackendIsAsked(t *testing.T) {
	s := newSite(t)
	good := request(t, s.device)
	stranger := testpki.NewRoot(t, "stranger").IDevID(t, "SN-1", "")
	status := []byte(`{"version":1,"status":true}`)
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte("SN-1"))] ^= 1
	payload := func(json string) []byte {
		raw, err := vouchercms.Format{}.SignPayload(t.Context(), []byte(json), time.Time{}, &voucher.Signer{Key: s.device.Key, Certificate: s.device.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	container := func(leaves string) []byte { return payload(`{"ietf-voucher-request:voucher":{` + leaves + `}}`) }
	for _, c := range []struct {
		name, method, path string
		body               []byte
		header             []string
		status             int
		reason             string
	}{
		{"operation in capitals", "POST", "/.well-known/brski/RequestVoucher", good, []string{typeCMS}, 404, "path-operation"},
		{"MASA's operation", "POST", "/.well-known/brski/requestauditlog", good, []string{typeCMS}, 404, "path-operation"},
		{"BRSKI-PRM's operation", "POST", "/.well-known/brski/requestenroll", good, []string{typeCMS}, 404, "path-operation"},
		{"no operation", "POST", "/.well-known/brski", good, []string{typeCMS}, 404, "path-operation"},
		{"slash at the end", "POST", requestVoucher + "/", good, []string{typeCMS}, 404, "path-slash"},
		{"doubled slash", "POST", "/.well-known/brski//requestvoucher", good, []string{typeCMS}, 404, "path-slash"},
		{"dots", "POST", "/.well-known/brski/./requestvoucher", good, []string{typeCMS}, 404, "path-dots"},
		{"dots to EST", "POST", "/.well-known/brski/../est/simpleenroll", good, []string{typeCMS}, 404, "path-dots"},
		{"encoded letter", "POST", "/.well-known/brski/request%76oucher", good, []string{typeCMS}, 404, "path-encoding"},
		{"encoded slash", "POST", "/.well-known/brski%2Frequestvoucher", good, []string{typeCMS}, 404, "path-prefix"},
		{"label", "POST", "/.well-known/brski/label/requestvoucher", good, []string{typeCMS}, 404, "path-segments"},
		{"underscore left out", "POST", "/.well-known/brski/voucherstatus", status, []string{typeJSON}, 404, "path-operation"},
		{"EST's path", "POST", "/.well-known/est/requestvoucher", good, []string{typeCMS}, 404, "path-prefix"},
		{"GET", "GET", requestVoucher, nil, nil, 405, "method-not-allowed"},
		{"PUT", "PUT", requestVoucher, good, []string{typeCMS}, 405, "method-not-allowed"},
		{"DELETE", "DELETE", voucherStatus, nil, nil, 405, "method-not-allowed"},
		{"OPTIONS", "OPTIONS", enrollStatus, nil, nil, 405, "method-not-allowed"},
		{"no media type", "POST", requestVoucher, good, nil, 415, "media-type"},
		{"unknown format", "POST", requestVoucher, good, []string{"Content-Type: application/voucher-foo"}, 415, "media-type"},
		{"octets", "POST", requestVoucher, good, []string{"Content-Type: application/octet-stream"}, 415, "media-type"},
		{"two media types", "POST", requestVoucher, good, []string{typeCMS, typeJSON}, 415, "media-type"},
		{"compressed", "POST", requestVoucher, good, []string{typeCMS, "Content-Encoding: gzip"}, 415, "content-encoding"},
		{"Accept of JSON", "POST", requestVoucher, good, []string{typeCMS, "Accept: application/json"}, 406, "not-acceptable"},
		{"Accept of nothing", "POST", requestVoucher, good, []string{typeCMS, "Accept: */*;q=0"}, 406, "not-acceptable"},
		{"unreadable Accept", "POST", requestVoucher, good, []string{typeCMS, "Accept: ;;;"}, 406, "not-acceptable"},
		{"empty body (nqminds, N7)", "POST", requestVoucher, nil, []string{typeCMS}, 400, "body-empty"},
		{"too large", "POST", requestVoucher, make([]byte, 129<<10), []string{typeCMS}, 413, "body-too-large"},
		{"2 MB", "POST", requestVoucher, make([]byte, 2<<20), []string{typeCMS}, 413, "body-too-large"},
		{"certificate (nqminds, N9)", "POST", requestVoucher, s.device.Certificate.Raw, []string{typeCMS}, 400, "voucher-request"},
		{"PEM", "POST", requestVoucher, s.device.PEM(), []string{typeCMS}, 400, "voucher-request"},
		{"two bytes (R6)", "POST", requestVoucher, []byte{0x1f, 0x80}, []string{typeCMS}, 400, "voucher-request"},
		{"truncated", "POST", requestVoucher, good[:len(good)-1], []string{typeCMS}, 400, "voucher-request"},
		{"trailing byte", "POST", requestVoucher, append(bytes.Clone(good), 0), []string{typeCMS}, 400, "voucher-request"},
		{"changed", "POST", requestVoucher, flipped, []string{typeCMS}, 403, "voucher-signature"},
		{"unsigned JSON", "POST", requestVoucher, []byte(`{"ietf-voucher-request:voucher":{}}`), []string{typeCMS}, 400, "voucher-request"},
		{"a voucher of another kind", "POST", requestVoucher, payload(`{"ietf-delegated-voucher:voucher":{}}`), []string{typeCMS}, 406, "voucher-container"},
		{"no serial-number", "POST", requestVoucher, container(`"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="`), []string{typeCMS}, 400, "voucher-request"},
		{"unknown leaf", "POST", requestVoucher, container(`"serial-number":"SN-1","color":"red"`), []string{typeCMS}, 400, "voucher-leaf"},
		{"short nonce", "POST", requestVoucher, container(`"serial-number":"SN-1","nonce":"AAAA"`), []string{typeCMS}, 400, ""},
		{"signed by another", "POST", requestVoucher, request(t, stranger), []string{typeCMS}, 403, "signer-not-client"},
		{"status without type", "POST", voucherStatus, status, nil, 415, "media-type"},
		{"status as text", "POST", voucherStatus, status, []string{"Content-Type: text/plain"}, 415, "media-type"},
		{"status empty", "POST", voucherStatus, nil, []string{typeJSON}, 400, "body-empty"},
		{"status too large", "POST", voucherStatus, make([]byte, 17<<10), []string{typeJSON}, 413, "body-too-large"},
		{"status in capitals", "POST", voucherStatus, []byte(`{"version":1,"Status":true}`), []string{typeJSON}, 400, "telemetry"},
		{"status twice", "POST", enrollStatus, []byte(`{"version":1,"status":true,"status":false}`), []string{typeJSON}, 400, "telemetry"},
		{"status as number", "POST", enrollStatus, []byte(`{"version":1,"status":1}`), []string{typeJSON}, 400, "telemetry"},
		{"no version", "POST", enrollStatus, []byte(`{"status":true}`), []string{typeJSON}, 400, "telemetry"},
		{"a list", "POST", enrollStatus, []byte(`[1,true]`), []string{typeJSON}, 400, "telemetry"},
		{"trailing", "POST", enrollStatus, []byte(`{"version":1,"status":true} x`), []string{typeJSON}, 400, "telemetry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(c.method, c.path, c.body, c.header...)
			if a.status != c.status || (c.reason != "" && s.backend.lastRefusal() != c.reason) {
				t.Errorf("status %d, reason %q, want %d, %q; body %q", a.status, s.backend.lastRefusal(), c.status, c.reason, a.body)
			}
			if a.body == "" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
				t.Errorf("body %q of type %q, want a text", a.body, a.header.Get("Content-Type"))
			}
			if a.status == 405 && a.header.Get("Allow") != "POST" {
				t.Errorf("Allow = %q, want POST", a.header.Get("Allow"))
			}
		})
	}
	if s.backend.asked() != 0 {
		t.Errorf("the backend was asked %d times", s.backend.asked())
	}
}

// RFC 8995, Section 5.1.
// BRSKI-8995-5.1-07.
func TestClientWithoutCertificateIsRefused(t *testing.T) {
	s := newSite(t)
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a pledge in the provisional state
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	for _, path := range []string{requestVoucher, voucherStatus, enrollStatus} {
		a := send(t, &http.Client{Transport: transport}, "POST", s.url+path, request(t, s.device), typeCMS)
		if a.status != 403 || s.backend.lastRefusal() != brski.ReasonNoClientCertificate {
			t.Errorf("%s without a certificate = %d %q, want 403", path, a.status, s.backend.lastRefusal())
		}
	}
}

// N1: nqminds sends base64 where RFC 8995, Section 5.2 has binary.
func TestBase64VoucherRequestIsTaken(t *testing.T) {
	s := newSite(t)
	raw := request(t, s.device)
	for name, text := range map[string]string{
		"one line":  base64.StdEncoding.EncodeToString(raw),
		"with LF":   base64.StdEncoding.EncodeToString(raw) + "\n",
		"with CRLF": base64.StdEncoding.EncodeToString(raw) + "\r\n",
	} {
		a := s.do("POST", requestVoucher, []byte(text), typeCMS)
		if a.status != 200 {
			t.Errorf("%s: status %d, want 200: %s", name, a.status, a.body)
			continue
		}
		r := s.backend.requests[len(s.backend.requests)-1]
		if !bytes.Equal(r.Artifact.Raw, raw) || !slices.ContainsFunc(r.Artifact.Findings, func(f voucher.Finding) bool { return f.ID == brski.FindingBase64Body }) {
			t.Errorf("%s: artifact of %d bytes with findings %v, want the binary one with %q", name, len(r.Artifact.Raw), r.Artifact.Findings, brski.FindingBase64Body)
		}
	}
}

// N7: nqminds' pledge posts an empty body first and goes on over the same server.
func TestEmptyPostKeepsTheConnection(t *testing.T) {
	s := newSite(t)
	a := s.do("POST", requestVoucher, nil, typeCMS)
	if a.status != 400 || a.header.Get("Connection") == "close" {
		t.Errorf("empty POST = %d, Connection %q; want 400 and a connection that stays", a.status, a.header.Get("Connection"))
	}
	if a := s.do("POST", requestVoucher, request(t, s.device), typeCMS); a.status != 200 {
		t.Errorf("the POST after it = %d, want 200", a.status)
	}
}

// F3, and RFC 9110, Section 12.5.1.
func TestMediaTypesAreParsed(t *testing.T) {
	s := newSite(t)
	const otherType = "application/voucher-other"
	for _, c := range []struct {
		contentType, accept string
		want                []string
	}{
		{cmsType, "", []string{cmsType}},
		{cmsType + "; charset=utf-8", "", []string{cmsType}},
		{"Application/Voucher-CMS+JSON", "", []string{cmsType}},
		{cmsType + "; broken", "", []string{cmsType}},
		{cmsType, "*/*", []string{cmsType, otherType}},
		{cmsType, "application/*", []string{cmsType, otherType}},
		{cmsType, "*/*, " + cmsType, []string{cmsType, otherType}}, // reach
		{cmsType, otherType + ", */*;q=0.1", []string{otherType, cmsType}},
		{cmsType, otherType, []string{otherType}},
		{cmsType, otherType + ";q=0.5, " + cmsType + ";q=0.9", []string{cmsType, otherType}},
		{cmsType, cmsType + ";q=0, */*", []string{otherType}},
		{cmsType, cmsType + "; charset=utf-8", []string{cmsType}},
		{cmsType, "text/html, ;;;, " + cmsType, []string{cmsType}},
	} {
		header := []string{"Content-Type: " + c.contentType}
		if c.accept != "" {
			header = append(header, "Accept: "+c.accept)
		}
		s.backend.voucher = &brski.Voucher{MediaType: c.want[0], Raw: []byte("v")}
		a := s.do("POST", requestVoucher, request(t, s.device), header...)
		if a.status != 200 {
			t.Errorf("%v: status %d, want 200: %s", header, a.status, a.body)
			continue
		}
		var got []string
		for _, f := range s.backend.requests[len(s.backend.requests)-1].Accept {
			got = append(got, f.MediaType())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: Accept = %v, want %v", header, got, c.want)
		}
	}
}

// R29 and N11: a failure upstream is a failure downstream.
// BRSKI-8995-5.6-03.
func TestFailureUpstreamIsToldTruthfully(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		voucher *brski.Voucher
		err     error
		status  int
		reason  string
	}{
		"nothing":          {nil, nil, 502, brski.ReasonMASAAnswer},
		"empty":            {&brski.Voucher{MediaType: cmsType}, nil, 502, brski.ReasonMASAAnswer},
		"another type":     {&brski.Voucher{MediaType: "text/html", Raw: []byte("x")}, nil, 502, brski.ReasonMASAAnswer},
		"MASA unavailable": {nil, brski.ErrMASAUnavailable, 504, brski.ReasonMASAUnavailable},
		"MASA's 404":       {nil, &brski.MASAError{Status: 404, Message: "unknown device"}, 404, brski.ReasonMASARefused},
		"any error":        {nil, io.ErrUnexpectedEOF, 500, "internal"},
		"refusal":          {nil, &est.Error{Status: 403, Reason: "mine", Message: "No."}, 403, "mine"},
	} {
		s.backend.voucher, s.backend.err = c.voucher, c.err
		a := s.do("POST", requestVoucher, request(t, s.device), typeCMS)
		if a.status != c.status || s.backend.lastRefusal() != c.reason || a.body == "" {
			t.Errorf("%s: %d %q %q, want %d %q and a text", name, a.status, s.backend.lastRefusal(), a.body, c.status, c.reason)
		}
		if strings.Contains(a.body, "unexpected EOF") {
			t.Errorf("%s: the cause reached the peer: %q", name, a.body)
		}
	}
}

// RFC 8995, Section 5.6.
func TestPendingHasARetryAfterOfAtMost60Seconds(t *testing.T) {
	s := newSite(t)
	for wait, want := range map[time.Duration]string{time.Hour: "60", 0: "60", 1500 * time.Millisecond: "2", 20 * time.Second: "20"} {
		s.backend.err = &est.Error{Status: 202, Reason: "wait", RetryAfter: wait}
		a := s.do("POST", requestVoucher, request(t, s.device), typeCMS)
		if a.status != 202 || a.header.Get("Retry-After") != want || a.body != "" {
			t.Errorf("RetryAfter %v: %d, Retry-After %q, body %q; want 202, %q and no body", wait, a.status, a.header.Get("Retry-After"), a.body, want)
		}
	}
}

// RFC 8995, Section 5.2: 401 to a wrong proximity assertion, and the connection is closed.
// BRSKI-8995-5.2-07: the handler's part.
func TestUnauthorizedClosesTheConnection(t *testing.T) {
	s := newSite(t)
	own := s.device.TLS()
	for status, closed := range map[int]bool{401: true, 403: false} {
		s.backend.err = &est.Error{Status: status, Reason: "proximity", Message: "Not ours."}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{own}, //nolint:gosec // a pledge in the provisional state
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+requestVoucher, bytes.NewReader(request(t, s.device)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", cmsType)
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if response.StatusCode != status || response.Close != closed {
			t.Errorf("status %d, closing %v; want %d and %v", response.StatusCode, response.Close, status, closed)
		}
		if closed && response.Close {
			if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the %d: %v, want the end of the connection", status, err)
			}
		}
		conn.Close()
	}
}

func TestAdmitterIsAskedBeforeTheBodyIsRead(t *testing.T) {
	s := newSite(t)
	s.backend.admit = &est.Error{Status: 503, Reason: "busy", Message: "Busy.", RetryAfter: time.Second}
	a := s.do("POST", requestVoucher, []byte("not read"), typeCMS)
	if a.status != 503 || a.header.Get("Retry-After") != "1" || s.backend.lastRefusal() != "busy" {
		t.Errorf("answer = %+v, want the Admitter's 503", a)
	}
}

// RFC 8995, Sections 5.7 and 5.9.4.
func TestTelemetryIsRecorded(t *testing.T) {
	s := newSite(t)
	body := []byte(`{"version":2,"status":false,"reason":"because","reason-context":{"a":"b"},"color":"red"}`)
	for _, path := range []string{voucherStatus, enrollStatus} {
		a := s.do("POST", path, body, "Content-Type: application/json; charset=utf-8", "Accept: text/html")
		if a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("%s = %+v, want an empty 200", path, a)
		}
		got := s.backend.statuses[len(s.backend.statuses)-1]
		if got.Status.Version != 2 || got.Status.Status || got.Status.Reason != "because" || got.Status.ReasonContext["a"] != "b" ||
			!slices.Equal(got.Status.Ignored, []string{"color"}) || !bytes.Equal(got.Raw, body) {
			t.Errorf("%s: report = %+v", path, got)
		}
	}
	s.backend.err = &est.Error{Status: 404, Reason: "off", Message: "Not kept here."}
	if a := s.do("POST", voucherStatus, body, typeJSON); a.status != 404 {
		t.Errorf("status = %d, want the backend's 404", a.status)
	}
}
