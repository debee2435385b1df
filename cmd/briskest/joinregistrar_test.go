package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// acmeRegistrar is a registrar as it is set up, for the devices of one manufacturer.
type acmeRegistrar struct {
	t      *testing.T
	acme   *testpki.Identity
	config *registrarConfig
	at     string // HOST:PORT
	own    *x509.Certificate
}

func newAcmeRegistrar(t *testing.T) *acmeRegistrar {
	t.Helper()
	dir := t.TempDir()
	r := &acmeRegistrar{t: t, acme: testpki.NewRoot(t, "Acme")}
	if err := os.WriteFile(filepath.Join(dir, "acme.pem"), r.acme.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	err := makeRegistrar(t.Context(), folder(dir), &registrarSetup{
		Name: "Example", Hosts: []string{"127.0.0.1"}, Listen: "127.0.0.1:0", PerDevice: 24, PerAddress: 3600,
		Manufacturers: []manufacturerSetup{{
			Name: "acme", IDevIDAnchors: "acme.pem", VoucherAnchors: "acme.pem", TLSAnchors: "acme.pem", MASAURL: "https://127.0.0.1:1",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.config, err = loadRegistrarConfig(filepath.Join(dir, "registrar.yaml")); err != nil {
		t.Fatal(err)
	}
	return r
}

// start serves until the test, or the returned function, ends it.
func (r *acmeRegistrar) start() (stop func()) {
	r.t.Helper()
	s, _, err := startRegistrar(r.t.Context(), r.config, io.Discard)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("serve = %v", err)
		}
	})
	r.t.Cleanup(stop)
	r.at, r.own = s.devices.Addr().String(), (*s.certificates.Load())[0].Leaf
	return stop
}

// sends sends as the device, or as nobody, and returns the status.
func (r *acmeRegistrar) sends(as *testpki.Identity, method, path, mediaType string, body []byte) int {
	r.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a pledge in the provisional state
	if as != nil {
		config.Certificates = []tls.Certificate{as.TLS()}
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, "https://"+r.at+"/.well-known/"+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// asks is the voucher-request of a device.
func (r *acmeRegistrar) asks(device *testpki.Identity) []byte {
	r.t.Helper()
	serial, err := voucher.SerialNumber(device.Certificate)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := vouchercms.Format{}.SignRequest(r.t.Context(), &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: time.Now(), SerialNumber: serial, Nonce: voucher.NewNonce(), ProximityRegistrarCert: r.own.Raw,
	}, &voucher.Signer{Key: device.Key, Certificate: device.Certificate})
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// BRSKI-8995-7.3-01: a registrar as it is set up admits nobody that was not named.
// BRSKI-8995-7.3-03: who does not authenticate gets neither voucher nor certificate.
// BRSKI-8995-5.1-07: a certificate is asked for in the handshake, and one of an unknown manufacturer opens nothing.
func TestARegistrarAsItIsSetUpAdmitsNobody(t *testing.T) {
	r := newAcmeRegistrar(t)
	r.start()
	unlisted, stranger := r.acme.IDevID(t, "SN-1", ""), testpki.NewRoot(t, "stranger").IDevID(t, "SN-1", "")
	der := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "SN-1"}}, testpki.NewKey(t))
	csr := []byte(base64.StdEncoding.EncodeToString(der))
	const voucherType, csrType = vouchercms.MediaType, "application/pkcs10"
	for what, got := range map[string][2]int{
		"a voucher for nobody":                        {r.sends(nil, "POST", "brski/requestvoucher", voucherType, r.asks(unlisted)), 403},
		"a voucher for an unknown manufacturer":       {r.sends(stranger, "POST", "brski/requestvoucher", voucherType, r.asks(stranger)), 403},
		"a voucher for a device that is not imported": {r.sends(unlisted, "POST", "brski/requestvoucher", voucherType, r.asks(unlisted)), 404},
		"a certificate for nobody":                    {r.sends(nil, "POST", "est/simpleenroll", csrType, csr), 401},
		"a certificate for an unknown manufacturer":   {r.sends(stranger, "POST", "est/simpleenroll", csrType, csr), 401},
		"a certificate before the voucher":            {r.sends(unlisted, "POST", "est/simpleenroll", csrType, csr), 403},
		"telemetry of nobody":                         {r.sends(nil, "POST", "brski/voucher_status", "application/json", []byte(`{"version":1,"status":true}`)), 403},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", what, got[0], got[1])
		}
	}
	asked := false
	conn, err := tls.Dial("tcp", r.at, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // a pledge in the provisional state
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return new(tls.Certificate), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if !asked {
		t.Error("the handshake does not ask for a certificate")
	}
}

// BRSKI-8995-1.5-01: the program serves every BRSKI and EST operation for its method.
func TestTheProgramServesEveryOperationOfAJoinRegistrar(t *testing.T) {
	r := newAcmeRegistrar(t)
	r.start()
	device := r.acme.IDevID(t, "SN-1", "")
	for _, c := range []struct{ method, path, mediaType string }{
		{"POST", "brski/requestvoucher", vouchercms.MediaType},
		{"POST", "brski/voucher_status", "application/json"},
		{"POST", "brski/enrollstatus", "application/json"},
		{"GET", "est/cacerts", ""},
		{"GET", "est/csrattrs", ""},
		{"POST", "est/simpleenroll", "application/pkcs10"},
		{"POST", "est/simplereenroll", "application/pkcs10"},
	} {
		if got := r.sends(device, c.method, c.path, c.mediaType, nil); got == 404 || got == 405 || got >= 500 {
			t.Errorf("%s %s: %d", c.method, c.path, got)
		}
	}
	for path, want := range map[string]int{"brski/nothing": 404, "est/nothing": 404} {
		if got := r.sends(device, "POST", path, "application/json", nil); got != want {
			t.Errorf("%s, which is none: %d; the test shows nothing", path, got)
		}
	}
}

// BRSKI-8995-5-04: a device that comes back sees the same certificate, also after a restart.
// BRSKI-8995-ERRATA-6648-01: without a server name, with that of a stranger and with an address the certificate is the same.
func TestTheRegistrarShowsOneCertificateToWhoComesBack(t *testing.T) {
	r := newAcmeRegistrar(t)
	var first *x509.Certificate
	for range 2 {
		stop := r.start()
		for _, name := range []string{"", "registrar.elsewhere.example", "127.0.0.1", "fe80::1"} {
			conn, err := tls.Dial("tcp", r.at, &tls.Config{InsecureSkipVerify: true, ServerName: name}) //nolint:gosec // a pledge in the provisional state
			if err != nil {
				t.Fatalf("server name %q: %v", name, err)
			}
			got := conn.ConnectionState().PeerCertificates[0]
			conn.Close()
			if first == nil {
				first = got
			}
			if !got.Equal(first) {
				t.Errorf("server name %q: certificate %x, want %x as at first", name, got.SerialNumber, first.SerialNumber)
			}
		}
		stop()
	}
}
