package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/voucher"
)

// What the floors of BRSKI do, for people.
const (
	RegistrarFloorIs = "TLS as the registrar's, the IDevID required and verified in the handshake; the pledge's request opened, a request signed, " +
		"sent over a kept connection, the voucher opened; no policy, no chains of vouchers, no audit-log, no database, no disk"
	MASAFloorIs = "both requests opened, a voucher signed, over a kept connection; no policy, no chains, no audit-log, no database, no disk"
)

// BRSKIFloor is the least that a registrar or a MASA can do.
type BRSKIFloor struct {
	TLS    tls.Certificate
	Signer tls.Certificate     // of requests or vouchers
	Chain  []*x509.Certificate // that a registrar's requests carry (RFC 8995, Section 5.5.2)
	Format voucher.Format
	// Clients are the CAs of IDevIDs; MASA and Roots are where the next floor
	// answers. All three for a registrar only.
	Clients *x509.CertPool
	MASA    string
	Roots   *x509.CertPool

	client *http.Client
}

// Serve answers on a free loopback port until ctx ends, and writes a
// FloorReady to out first.
func (f *BRSKIFloor) Serve(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg := httpserver.TLSConfig(func() []*tls.Certificate { return []*tls.Certificate{&f.TLS} })
	answer := f.issue
	if f.Clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, f.Clients
		f.client = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: f.Roots}, MaxIdleConnsPerHost: 256, DisableCompression: true,
		}}
		answer = f.relay
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /.well-known/brski/requestvoucher", func(w http.ResponseWriter, r *http.Request) {
		raw, err := answer(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", f.Format.MediaType())
		w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		_, _ = w.Write(raw)
	})
	server := &http.Server{Handler: mux, TLSConfig: cfg, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := json.NewEncoder(out).Encode(FloorReady{URL: "https://" + l.Addr().String()}); err != nil {
		return err
	}
	err = server.ServeTLS(l, "", "")
	<-stopped
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *BRSKIFloor) signer() *voucher.Signer {
	return &voucher.Signer{Key: f.Signer.PrivateKey.(crypto.Signer), Certificate: f.Signer.Leaf, Chain: f.Chain}
}

// relay is the registrar's part.
func (f *BRSKIFloor) relay(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	asked, _, err := f.Format.OpenRequest(raw)
	if err != nil {
		return nil, err
	}
	signed, err := f.Format.SignRequest(r.Context(), &voucher.Request{
		Assertion: asked.Assertion, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: asked.SerialNumber, Nonce: asked.Nonce,
		PriorSignedVoucherRequest: raw,
	}, f.signer())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, f.MASA+"/.well-known/brski/requestvoucher", bytes.NewReader(signed))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", f.Format.MediaType())
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	issued, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("MASA: %s: %s", res.Status, issued)
	}
	_, _, err = f.Format.OpenVoucher(issued)
	return issued, err
}

// issue is the MASA's part.
func (f *BRSKIFloor) issue(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	asked, artifact, err := f.Format.OpenRequest(raw)
	if err != nil {
		return nil, err
	}
	if _, _, err := f.Format.OpenRequest(asked.PriorSignedVoucherRequest); err != nil {
		return nil, err
	}
	return f.Format.SignVoucher(r.Context(), &voucher.Voucher{
		Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: asked.SerialNumber, Nonce: asked.Nonce,
		PinnedDomainCert: artifact.Signer.Raw,
	}, f.signer())
}
