package attack_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// What registrars of others have sent to a MASA gets a voucher from ours where
// it holds: F1 (no idevid-issuer, and the registrar's request in v1 with
// id-data), N6 (an idevid-issuer of another form), and the audit-log for the
// same request (H4). What does not hold is refused.
func TestCapturedRequestsOfRegistrarsGetAVoucherWhereTheyHold(t *testing.T) {
	for _, c := range []struct {
		dir, certs, message string
		status              int
	}{
		{"reach-fountain-highway", "pki-hw", "01-POST-brski_requestvoucher", 200},
		{"reach-fountain-highway", "pki-hw", "02-POST-brski_requestauditlog", 200},
		{"nqminds-fountain-highway", "pki-hw", "01-POST-brski_requestvoucher", 200},
		{"nqminds-highway", "pki", "01-POST-brski_requestvoucher", 200},
		{"nqminds-highway", "pki", "02-POST-brski_requestauditlog", 200},
		{"reach-nqminds", "pki", "01-POST-brski_requestvoucher", 200},
		{"nqminds-compat-rfcpki", "pki", "01-POST-brski_requestvoucher", 200},
		{"nqminds-stock", "nqminds-stock", "01-POST-brski_requestvoucher", 400}, // its nonce has 44 bytes
	} {
		t.Run(c.dir+" "+c.message, func(t *testing.T) {
			file := filepath.Join(vectors.Dir(t), "captures", c.dir, "registrar-masa-"+c.message+"-request.http")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			handler := capturedVendor(t, c.certs)
			if c.message[:2] == "02" { // the log is kept once there is a voucher
				send(t, handler, bytes.Replace(raw, []byte("requestauditlog"), []byte("requestvoucher"), 1))
			}
			w := send(t, handler, raw)
			if w.Code != c.status || w.Body.Len() == 0 {
				t.Errorf("status %d, want %d: %.300q", w.Code, c.status, w.Body)
			}
		})
	}
}

func send(t *testing.T, h http.Handler, raw []byte) *httptest.ResponseRecorder {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", vouchercms.MediaType+", application/json") // as the capture's curl had it for the log
	req.RemoteAddr = "192.0.2.8:4711"
	req.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// capturedVendor is a MASA of ours for the devices of a capture.
func capturedVendor(t *testing.T, certs string) http.Handler {
	t.Helper()
	names := []string{"idevid", "mfr-ca"}
	if certs == "nqminds-stock" {
		names[1] = "idevid-ca"
	}
	one := func(name string) *x509.Certificate {
		return vectors.Certificates(t, "captures/certs/"+certs+"/"+name+".crt")[0]
	}
	idevid, anchors := one(names[0]), x509.NewCertPool()
	anchors.AddCert(one(names[1]))
	signer := testpki.NewRoot(t, "vouchers")
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	service, err := masa.New(t.Context(), masa.Config{
		Store: storetest.NewMemory(), Now: func() time.Time { return at },
		Settings: &masa.Settings{Version: "1", Formats: []voucher.Format{vouchercms.Format{}}, Products: map[string]masa.Product{
			"peer": {IDevIDAnchors: anchors, Signer: &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	report, err := service.ImportDevices(t.Context(), &masa.Import{Product: "peer", By: "test", Devices: []masa.ImportDevice{
		{SerialNumber: idevid.Subject.SerialNumber, IDevID: idevid.Raw},
	}})
	if err != nil || !report.Applied {
		t.Fatalf("import: %+v, %v", report, err)
	}
	return &brski.MASAHandler{MASA: service, Formats: []voucher.Format{vouchercms.Format{}}, Now: func() time.Time { return at }}
}
