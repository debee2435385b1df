package est_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

// constant is a Backend that costs nothing.
type constant struct{ cert []byte }

func (c constant) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return nil, nil
}
func (c constant) Enroll(context.Context, *est.EnrollRequest) ([]byte, error) { return c.cert, nil }

// nowhere is a ResponseWriter that keeps nothing but the header.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// BenchmarkEnrollHandler compares the Handler with a floor that does what no server can leave out: base64, parsing
// the CSR, checking its signature, answering. Neither signs.
func BenchmarkEnrollHandler(b *testing.B) {
	cert := testpki.NewRoot(b, "root").Client(b, "device").Certificate.Raw
	body := lines(b64(goodCSR(b, "device")), 64, "\n")
	floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			b.Fatal(err)
		}
		n, err := base64.StdEncoding.Decode(text, text)
		if err != nil {
			b.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(text[:n])
		if err != nil || csr.CheckSignature() != nil {
			b.Fatal("bad CSR")
		}
		der, err := cms.CertsOnly(cert)
		if err != nil {
			b.Fatal(err)
		}
		out := base64.StdEncoding.AppendEncode(nil, der)
		w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
		w.Header().Set("Content-Length", strconv.Itoa(len(out)))
		_, _ = w.Write(out)
	})
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"floor", floor}, {"handler", &est.Handler{Backend: constant{cert}}}} {
		b.Run(c.name, func(b *testing.B) {
			r := httptest.NewRequest("POST", "https://est.example"+enrollPath, nil)
			r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
			r.Header.Set("Content-Type", "application/pkcs10")
			r.SetBasicAuth("device", "secret")
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				c.handler.ServeHTTP(&nowhere{header: http.Header{}}, r)
			}
		})
	}
}
