package est

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net"
	"net/http"
	"time"
)

// unauthenticated reports whether a connection with cfg authenticates no server.
func unauthenticated(cfg *tls.Config) bool {
	return cfg != nil && cfg.InsecureSkipVerify && cfg.VerifyConnection == nil && cfg.VerifyPeerCertificate == nil
}

// transport makes HTTP over c's TLS configuration. HTTP/1.1 is enough for a client, and what every EST server speaks.
func (c *Client) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second}
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{NetDialer: dialer, Config: c.tlsConfig(host)}
			return d.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  100 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 32 << 10,
		DisableCompression:     true,
	}
}

// tlsConfig is for one connection, to host.
func (c *Client) tlsConfig(host string) *tls.Config {
	cfg := new(tls.Config)
	if c.TLSConfig != nil {
		cfg = c.TLSConfig.Clone()
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		cfg.MinVersion = tls.VersionTLS12 // RFC 8996, Section 4
	}
	cfg.NextProtos = []string{"http/1.1"}
	if c.Certificate != nil {
		// Not Certificates: crypto/tls holds back one whose issuer is not in the server's list.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate, nil }
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	if c.Roots != nil {
		cfg.RootCAs = c.Roots
	}
	if cfg.InsecureSkipVerify || c.Roots == nil {
		return cfg
	}
	name, also := cfg.ServerName, cfg.VerifyConnection
	cfg.InsecureSkipVerify = true //nolint:gosec // verifyServer does what crypto/tls would, and knows id-kp-cmcRA
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		chains, err := verifyServer(&cs, c.Roots, name, cfg.Time)
		if err != nil {
			return err
		}
		cs.VerifiedChains = chains
		if also != nil {
			return also(cs)
		}
		return nil
	}
	return cfg
}

// verifyServer verifies the server's chain (RFC 5280, Section 6) to an explicit anchor, and that the server is the one
// that was meant or a registration authority (RFC 7030, Section 3.6.1).
func verifyServer(cs *tls.ConnectionState, roots *x509.CertPool, name string, now func() time.Time) ([][]*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		return nil, errors.New("the server presented no certificate")
	}
	leaf := cs.PeerCertificates[0]
	ra := isRA(leaf)
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ra {
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	if now != nil {
		opts.CurrentTime = now()
	}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	if ra {
		return chains, nil
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return chains, nil
}

// isRA reports whether c has the extended key usage id-kp-cmcRA (RFC 6402, Section 2.10).
func isRA(c *x509.Certificate) bool {
	cmcRA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}
	for _, oid := range c.UnknownExtKeyUsage {
		if oid.Equal(cmcRA) {
			return true
		}
	}
	return false
}
