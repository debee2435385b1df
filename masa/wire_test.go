package masa_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// serve puts the service behind brski's handler and returns a client of it.
func (w *world) serve() *brski.MASAClient {
	w.t.Helper()
	root := testpki.NewRoot(w.t, "web")
	server := httptest.NewUnstartedServer(&brski.MASAHandler{MASA: w.service, Formats: []voucher.Format{vouchercms.Format{}}})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{root.Server(w.t, "masa").TLS()}}
	server.StartTLS()
	w.t.Cleanup(server.Close)
	return &brski.MASAClient{
		URL: server.URL + "/.well-known/brski", Roots: root.Pool(),
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: root.Pool()}}},
	}
}

// A vendor's road end to end: SQLite below, the wire above, a restart between.
func TestVoucherAndAuditLogOverTheWireSurviveARestart(t *testing.T) {
	w := unstarted(t, nil)
	path, key := filepath.Join(t.TempDir(), "masa.db"), testpki.NewKey(t)
	open := func() *store.Store {
		s, err := store.Open(t.Context(), store.Options{Path: path, TrailKey: key})
		if err != nil {
			t.Fatal(err)
		}
		w.store = s
		w.start()
		return s
	}
	db := open()
	w.importSerial(serial)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	request := &brski.MASARequest{MediaType: vouchercms.MediaType, Raw: raw, Accept: []string{vouchercms.MediaType}}
	first, err := w.serve().RequestVoucher(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	w.service.Close()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close()
	client := w.serve()
	second, err := client.RequestVoucher(t.Context(), request)
	if err != nil || !bytes.Equal(first.Raw, second.Raw) {
		t.Errorf("after a restart another voucher, %v", err)
	}
	log, err := client.RequestAuditLog(t.Context(), request)
	if err != nil || len(log.Events) != 1 || log.Events[0].Nonce == nil || *log.Events[0].Nonce != "0123456789abcdef" {
		t.Errorf("RequestAuditLog = %+v, %v; want the one voucher", log, err)
	}
	w.service.Close()
	if report, err := db.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v, %+v", err, report)
	}
}

func TestRefusalReachesTheRegistrarWithItsStatus(t *testing.T) {
	w := newWorld(t, nil)
	client := w.serve()
	a := w.ask(w.mine, "0123456789abcdef")
	a.registrar.Nonce = "fedcba9876543210"
	_, err := client.RequestVoucher(t.Context(), &brski.MASARequest{
		MediaType: vouchercms.MediaType, Raw: a.bytes(t), Accept: []string{vouchercms.MediaType},
	})
	var e *brski.MASAError
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Errorf("error %v, want a MASAError with 403", err)
	}
	if got := w.trail(masa.KindRefused); len(got) != 1 || got[0].Reason != masa.ReasonNonceMismatch {
		t.Errorf("refusals on the trail: %+v, want one for the nonce", got)
	}
}

// Promise 3 and regression R28, on the wire: whatever is wrong with a request,
// nothing is issued, and the answer is a short text.
// BRSKI-8995-5.6-02: 200, or a fitting 4xx with an explanation in UTF-8.
func TestBadRequestsOnTheWireIssueNothing(t *testing.T) {
	w := newWorld(t, nil)
	client := w.serve()
	good := w.ask(w.mine, "0123456789abcdef").bytes(t)
	unknown := w.ask(w.mine, "0123456789abcdef")
	unknown.idevid = w.idevidCA.IDevID(t, "never built", "")
	unknown.pledge.SerialNumber, unknown.registrar.SerialNumber = "never built", "never built"
	for _, c := range []struct {
		name, method, path, contentType, accept string
		body                                    []byte
		status                                  int
	}{
		{"AcceptOfAnother", "POST", "/requestvoucher", vouchercms.MediaType, "application/voucher+cose", good, 406},
		{"ContentTypeOfAnother", "POST", "/requestvoucher", "application/voucher+cose", "*/*", good, 415},
		{"NoContentType", "POST", "/requestvoucher", "", "*/*", good, 415},
		{"Get", "GET", "/requestvoucher", "", "*/*", nil, 405},
		{"Put", "PUT", "/requestvoucher", vouchercms.MediaType, "*/*", good, 405},
		{"OtherOperation", "POST", "/voucher_status", vouchercms.MediaType, "*/*", good, 404},
		{"DoubledSlash", "POST", "//requestvoucher", vouchercms.MediaType, "*/*", good, 404},
		{"Dots", "POST", "/x/../requestvoucher", vouchercms.MediaType, "*/*", good, 404},
		{"TrailingSlash", "POST", "/requestvoucher/", vouchercms.MediaType, "*/*", good, 404},
		{"Empty", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", nil, 400},
		{"TwoMegabytes", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", make([]byte, 2<<20), 413},
		{"TrailingByte", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", append(bytes.Clone(good), 1), 400},
		{"Truncated", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", good[:100], 400},
		{"OtherSignersRequest", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", bytes.Replace(good, []byte(serial), []byte("JADA123456780"), 1), 403},
		{"UnknownDevice", "POST", "/requestvoucher", vouchercms.MediaType, "*/*", unknown.bytes(t), 404},
		{"AuditLogBeforeAnyVoucher", "POST", "/requestauditlog", vouchercms.MediaType, "*/*", good, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, client.URL+c.path, bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.contentType)
			if c.contentType == "" {
				req.Header.Del("Content-Type")
			}
			req.Header.Set("Accept", c.accept)
			res, err := client.HTTP.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if kind := res.Header.Get("Content-Type"); res.StatusCode != c.status || len(text) == 0 || !utf8.Valid(text) || kind != "text/plain; charset=utf-8" {
				t.Errorf("%d %s %q, want %d with a text", res.StatusCode, kind, text, c.status)
			}
		})
	}
	if n := w.records(); n != 0 {
		t.Errorf("%d issuances on record, want none", n)
	}
	if res, err := client.HTTP.Post(client.URL+"/requestvoucher", vouchercms.MediaType, bytes.NewReader(good)); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the good one: %v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
}

// BRSKI-8995-5.6-02: so are the MASA's own failures, and "not so often".
func TestFailuresOnTheWireAreToldInText(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*masa.Settings, *masa.Product)
		store  bool // fails
		status int
		retry  bool
	}{
		"the store fails": {func(*masa.Settings, *masa.Product) {}, true, 500, false},
		"the key fails": {func(_ *masa.Settings, p *masa.Product) {
			signer := *p.Signer
			signer.Key = brokenKey{signer.Key}
			p.Signer = &signer
		}, false, 500, false},
		"too often": {func(s *masa.Settings, _ *masa.Product) { s.RequestsPerMinute = 1 }, false, 429, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.spoil)
			client := w.serve()
			if c.store {
				w.memory.FailBefore(func(*masa.Change) error { return errors.New("disk full") })
			}
			raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
			var res *http.Response
			for range 3 { // one is within any budget
				var err error
				if res, err = client.HTTP.Post(client.URL+"/requestvoucher", vouchercms.MediaType, bytes.NewReader(raw)); err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
			}
			text, err := io.ReadAll(res.Body)
			kind, retry := res.Header.Get("Content-Type"), res.Header.Get("Retry-After")
			if err != nil || res.StatusCode != c.status || len(text) == 0 || !utf8.Valid(text) || kind != "text/plain; charset=utf-8" || (retry != "") != c.retry {
				t.Errorf("%d %s %q, Retry-After %q, %v; want %d with a text, and when to come back: %t", res.StatusCode, kind, text, retry, err, c.status, c.retry)
			}
			if bytes.Contains(text, []byte("disk")) || bytes.Contains(text, []byte("token")) {
				t.Errorf("the text %q tells a stranger what is inside", text)
			}
		})
	}
}

var _ est.Observer = (*masa.Service)(nil)
