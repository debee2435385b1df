package brski_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// says is a MASA that answers everything alike.
type says struct {
	status             int
	contentType, extra string
	body               []byte
}

func (s *says) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {s.contentType}, "Location": {s.extra}, "Retry-After": {s.extra}}
	return &http.Response{
		StatusCode: s.status, Header: header, Body: io.NopCloser(bytes.NewReader(s.body)), ContentLength: int64(len(s.body)), Request: r,
	}, nil
}

// FuzzMASAClient reads what a MASA answers: a voucher or an audit-log that is
// within bounds, or an error that says truthfully to a pledge what failed (R29).
func FuzzMASAClient(f *testing.F) {
	for _, seed := range []says{
		{200, cmsType, "", []byte("voucher")}, {200, cmsType + "; charset=x", "", nil}, {200, "application/json", "", []byte(`{"version":"1","events":[]}`)},
		{200, "application/json", "", []byte(`{"version":1,"events":[{"date":"2026-11-22T22:35:08Z","domainID":"x","nonce":null,"assertion":"logged"}]}`)},
		{201, "", "/.well-known/brski/log/1", nil}, {307, "", "https://127.0.0.2/", nil}, {403, "text/plain", "5", []byte("sold\x1b[2J")},
		{503, "", "Wed, 21 Oct 2026 07:28:00 GMT", nil}, {200, ";;", "", []byte("x")}, {999, "", "-1", bytes.Repeat([]byte("["), 300)},
	} {
		f.Add(seed.status, seed.contentType, seed.extra, seed.body)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, extra string, body []byte) {
		if status < 100 || status > 999 {
			return // net/http takes no other
		}
		c := &brski.MASAClient{URL: "https://127.0.0.1/.well-known/brski", HTTP: &http.Client{Transport: &says{status, contentType, extra, body}}}
		v, err := c.RequestVoucher(t.Context(), ask())
		checkMASAAnswer(t, v != nil, status, err)
		if v != nil && (len(v.Raw) == 0 || !bytes.Equal(v.Raw, body) || v.MediaType != cmsType) {
			t.Errorf("RequestVoucher = %q, %d bytes", v.MediaType, len(v.Raw))
		}
		l, err := c.RequestAuditLog(t.Context(), ask())
		checkMASAAnswer(t, l != nil, status, err)
		if l != nil && (len(l.Events) > brski.MaxAuditEvents || !bytes.Equal(l.Raw, body)) {
			t.Errorf("RequestAuditLog = %d events, raw %q", len(l.Events), l.Raw)
		}
	})
}

func checkMASAAnswer(t *testing.T, answered bool, status int, err error) {
	t.Helper()
	if answered == (err != nil) || answered && status != http.StatusOK && status != http.StatusCreated {
		t.Fatalf("status %d: answered %t, %v", status, answered, err)
	}
	if err == nil {
		return
	}
	var masa *brski.MASAError
	var e *est.Error
	if !errors.As(err, &masa) || !errors.As(err, &e) || e.Status < 400 || e.Message == "" || masa.RetryAfter < 0 || masa.RetryAfter > time.Hour || len(masa.Message) > 303 {
		t.Errorf("status %d: %+v, %+v", status, masa, e)
	}
}

// agreeable has a voucher in whatever encoding is wanted.
type agreeable struct{ masa }

func (m *agreeable) RequestVoucher(_ context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	m.note(r)
	return &brski.Voucher{MediaType: r.Accept[0], Raw: []byte("voucher")}, nil
}

func allFormats() []voucher.Format {
	return []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
}

// FuzzMASAHandler posts bytes to the MASA's operations: there is an answer, and
// the backend is only asked with bytes as they came, and for a type it has.
func FuzzMASAHandler(f *testing.F) {
	registrar := testpki.NewRoot(f, "domain").Registrar(f, "registrar")
	for _, format := range allFormats() {
		raw, err := format.SignRequest(f.Context(), &voucher.Request{Assertion: voucher.Logged, SerialNumber: "SN-1", CreatedOn: time.Now()},
			&voucher.Signer{Key: registrar.Key, Certificate: registrar.Certificate, Chain: registrar.Chain})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, format.MediaType(), format.MediaType(), raw)
		f.Add(false, format.MediaType(), "application/json", raw)
	}
	for _, seed := range [][]byte{nil, {0x1f, 0x80}, {0x30, 0x84}, {0x5f, 0x4d}, []byte("{"), {0xd2, 0x84}} {
		f.Add(true, "application/voucher-cms+json;;", "*/*;q=0, a/b", seed)
	}
	f.Fuzz(func(t *testing.T, forVoucher bool, contentType, accept string, body []byte) {
		m := &agreeable{masa{log: &brski.AuditLog{Version: 1}}}
		h := &brski.MASAHandler{MASA: m, Formats: allFormats()}
		op := brski.OpRequestAuditLog
		if forVoucher {
			op = brski.OpRequestVoucher
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1"+brski.PathPrefix+"/"+string(op), bytes.NewReader(body))
		r.TLS = &tls.ConnectionState{}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || w.Body.Len() == 0 {
			t.Fatalf("status %d, body %q", w.Code, w.Body)
		}
		if asked := len(m.requests) > 0; asked != (w.Code == http.StatusOK) {
			t.Errorf("status %d, the backend was asked: %t", w.Code, asked)
		} else if asked && (!bytes.Equal(m.requests[0].Raw, body) || len(m.requests[0].Accept) == 0 && forVoucher) {
			t.Errorf("the backend was asked with %+v", m.requests[0])
		}
	})
}

// FuzzTelemetry posts status documents: what reaches the backend is what
// ParseStatus takes, and the bytes are as they came (RFC 8995, Sections 5.7 and 5.9.4).
func FuzzTelemetry(f *testing.F) {
	device := testpki.NewRoot(f, "root").IDevID(f, "SN-1", "")
	for _, seed := range []string{
		`{"version":1,"status":true}`, `{"version":1,"Status":"FALSE","Reason":"x","reason-context":{"a":"b"}}`, `{"version":1,"status":false,"reason-context":[[[[]]]]}`, "\x1f\x80", "",
	} {
		f.Add(true, "application/json", []byte(seed))
		f.Add(false, "application/json; charset=utf-8", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, ofVoucher bool, contentType string, body []byte) {
		b := &backend{}
		h := &brski.RegistrarHandler{Backend: b, Formats: brskitest.Formats()}
		op := brski.OpEnrollStatus
		if ofVoucher {
			op = brski.OpVoucherStatus
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1"+brski.PathPrefix+"/"+string(op), bytes.NewReader(body))
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{device.Certificate}}
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want, err := brski.ParseStatus(body)
		switch {
		case w.Code >= 500, w.Code >= 400 && w.Body.Len() == 0:
			t.Fatalf("status %d, body %q", w.Code, w.Body)
		case (len(b.statuses) > 0) != (w.Code < 300):
			t.Errorf("status %d, %d reports reached the backend", w.Code, len(b.statuses))
		case len(b.statuses) > 0 && (err != nil || b.statuses[0].Status.Status != want.Status || !bytes.Equal(b.statuses[0].Raw, body)):
			t.Errorf("the backend got %+v of %q", b.statuses[0], strings.ToValidUTF8(string(body), "?"))
		}
	})
}
