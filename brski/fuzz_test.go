package brski_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/internal/testpki"
)

func FuzzParseStatus(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"status":true}`, `{"version":1,"status":false,"reason":"x","reason-context":{"a":[1,2]}}`,
		`{"Version":"1"}`, `[[[[`, `{"version":1,"status":true,"reason-context":7}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := brski.ParseStatus(data)
		if (s == nil) == (err == nil) {
			t.Fatalf("ParseStatus = %v, %v", s, err)
		}
		if s != nil && (s.Version < 0 || len(s.Reason) > 1024 || len(s.Ignored) > 16) {
			t.Fatalf("ParseStatus = %+v is out of bounds", s)
		}
	})
}

func FuzzParseAuditLog(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"events":[{"date":"2026-11-22T22:35:08Z","domainID":"x","nonce":null,"assertion":"logged","truncated":"1"}],"truncation":{"arbitrary":"2"}}`,
		`{"version":"1","events":[]}`, `{"events":[[]],"version":1}`, `{"version":1,"events":[{"date":"2026-11-22T22:35:08Z","nonce":"NULL"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := brski.ParseAuditLog(data)
		if (l == nil) == (err == nil) {
			t.Fatalf("ParseAuditLog = %v, %v", l, err)
		}
		if l == nil {
			return
		}
		again := *l
		again.Raw = nil
		out, err := brski.MarshalAuditLog(&again)
		if err != nil {
			t.Skip("a date that is read and not written: year 10000 by its offset")
		}
		if _, err := brski.ParseAuditLog(out); err != nil {
			t.Fatalf("what was written is not read: %v: %s", err, out)
		}
	})
}

// FuzzRegistrarHandler posts bytes to requestvoucher: whatever they are, there
// is an answer, and only a request that its TLS client signed reaches the backend.
func FuzzRegistrarHandler(f *testing.F) {
	root := testpki.NewRoot(f, "root")
	device := root.IDevID(f, "SN-1", "")
	good := request(f, device)
	f.Add(good, "", "")
	f.Add([]byte(base64.StdEncoding.EncodeToString(good)), "application/voucher-cms+json; charset=utf-8", "*/*")
	for _, seed := range [][]byte{{}, {0x1f, 0x80}, {0x30, 0x84}, {0x5f, 0x4d}, []byte("MIIB"), device.Certificate.Raw, good[:100]} {
		f.Add(seed, "application/voucher-cms+json", "text/html;q=0.1,,;=")
	}
	for _, data := range artifacts() {
		f.Add(data, "application/voucher-cms+json", "")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, accept string) {
		b := &backend{voucher: &brski.Voucher{MediaType: cmsType, Raw: []byte("voucher")}}
		h := &brski.RegistrarHandler{Backend: b, Formats: brskitest.Formats()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1"+requestVoucher, bytes.NewReader(body))
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{device.Certificate}}
		if contentType == "" {
			contentType = cmsType
		}
		r.Header.Set("Content-Type", contentType)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || w.Body.Len() == 0 {
			t.Fatalf("status %d, body %q", w.Code, w.Body)
		}
		if b.asked() > 0 && (w.Code != 200 || !b.requests[0].Artifact.Signer.Equal(device.Certificate)) {
			t.Fatalf("status %d: the backend was asked with what %v signed", w.Code, b.requests[0].Artifact.Signer.Subject)
		}
	})
}

// artifacts are other people's, where they are at hand.
func artifacts() [][]byte {
	folder := os.Getenv("BRISKEST_VECTORS")
	if folder == "" {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(folder, "brski", "*", "*.cms.der"))
	if err != nil {
		return nil
	}
	var out [][]byte
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil {
			out = append(out, data)
		}
	}
	return out
}
