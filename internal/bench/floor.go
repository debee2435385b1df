// Package bench measures enrollment against a bare floor. The floor does the
// work no server can leave out (TLS, the CSR's signature, one signature of its
// own) and nothing else: no policy, no database.
package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/httpserver"
)

// FloorReady is what a floor prints, as one line of JSON, once it listens.
type FloorReady struct {
	URL string `json:"url"` // of its EST service
	CA  string `json:"ca"`  // PEM that its TLS certificate chains to
}

// ServeFloor runs a floor on a free loopback port until ctx ends, and writes a
// FloorReady to out first. With clients non-nil it requires a TLS client
// certificate below one of those roots, verified in the handshake.
func ServeFloor(ctx context.Context, out io.Writer, op *Op, clients *x509.CertPool) error {
	f, err := newFloor()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg := httpserver.TLSConfig(func() []*tls.Certificate { return []*tls.Certificate{&f.tls} })
	if clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	if op.ownClients {
		own := x509.NewCertPool()
		own.AddCert(f.ca)
		cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, own
	}
	const prefix = "/.well-known/est/"
	mux := http.NewServeMux()
	mux.HandleFunc(prefix+"simpleenroll", f.enroll)
	if op.Name != "simpleenroll" {
		mux.HandleFunc(prefix+op.Name, op.answers(f))
	}
	server := &http.Server{Handler: mux, TLSConfig: cfg, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		server.Close()
	}()
	ready := FloorReady{URL: "https://" + l.Addr().String() + "/.well-known/est", CA: string(f.caPEM)}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	err = server.ServeTLS(l, "", "")
	<-stopped
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type floor struct {
	ca    *x509.Certificate
	key   crypto.Signer
	caPEM []byte
	tls   tls.Certificate
}

func newFloor() (*floor, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Floor"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, serverKey.Public(), key)
	if err != nil {
		return nil, err
	}
	return &floor{
		ca: ca, key: key,
		caPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		tls:   tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: serverKey},
	}, nil
}

// enroll is simpleenroll with everything left out that can be left out.
func (f *floor) enroll(w http.ResponseWriter, r *http.Request) {
	der, err := f.issue(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := cms.CertsOnly(der)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text := base64.StdEncoding.AppendEncode(nil, body)
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

func (f *floor) issue(r *http.Request) ([]byte, error) {
	csr, err := readCSR(r)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return f.sign(csr, csr.PublicKey)
}

func readCSR(r *http.Request) (*x509.CertificateRequest, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	n, err := base64.StdEncoding.Decode(body, body)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificateRequest(body[:n])
}

// sign issues for key what the request asks for.
func (f *floor) sign(csr *x509.CertificateRequest, key crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, f.ca, key, f.key)
}
