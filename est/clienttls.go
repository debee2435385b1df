package est

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Bounds on a connection.
const (
	dialTimeout      = 15 * time.Second
	handshakeTimeout = 15 * time.Second
	headerTimeout    = 100 * time.Second
	maxHeader        = 32 << 10 // bytes
)

// unauthenticated reports whether a connection with cfg authenticates no server.
func unauthenticated(cfg *tls.Config) bool {
	return cfg != nil && cfg.InsecureSkipVerify && cfg.VerifyConnection == nil && cfg.VerifyPeerCertificate == nil
}

// verifiesItself reports whether cfg brings its own verification of the server.
func verifiesItself(cfg *tls.Config) bool {
	return cfg != nil && cfg.InsecureSkipVerify && !unauthenticated(cfg)
}

// transport keeps connections to the configured origin for further calls.
func (c *Client) transport() *http.Transport {
	return newTransport(func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.dialTLS(ctx, network, address, c.tlsConfig([]string{c.origin.Hostname()}))
	})
}

// newTransport makes HTTP over what dial returns. HTTP/1.1 is enough for a client, and what every EST server speaks.
func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialTLSContext:         dial,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}
}

// dialTLS connects and does the handshake, which authenticates the server.
func (c *Client) dialTLS(ctx context.Context, network, address string, cfg *tls.Config) (*tls.Conn, error) {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, cfg)
	within, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(within); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// tlsConfig is for one connection. names are the hosts of the configured URI and of each redirect; the last one is
// where it goes.
func (c *Client) tlsConfig(names []string) *tls.Config {
	cfg := c.bareTLSConfig(names[len(names)-1])
	if c.Certificate != nil {
		// Not Certificates: crypto/tls holds back one whose issuer is not in the server's list.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate, nil }
	}
	also := cfg.VerifyConnection
	if cfg.InsecureSkipVerify {
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if also != nil {
				if err := also(cs); err != nil {
					return err
				}
			}
			c.server.Store(&Server{Store: StoreCaller, Chain: cs.PeerCertificates})
			return nil
		}
		return cfg
	}
	v := verifier{explicit: c.Roots, implicit: c.Implicit, names: names}
	if c.TLSConfig != nil && c.TLSConfig.ServerName != "" {
		v.names = append([]string{c.TLSConfig.ServerName}, names[1:]...)
	}
	cfg.InsecureSkipVerify = true //nolint:gosec // verifier.verify does what crypto/tls would, and knows RFC 7030, Section 3.6
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		v := v
		if v.now = c.now(); cfg.Time != nil {
			v.now = cfg.Time()
		}
		server, err := v.verify(cs.PeerCertificates)
		if err != nil {
			return err
		}
		if also != nil {
			cs.VerifiedChains = append(cs.VerifiedChains, server.Chain)
			if err := also(cs); err != nil {
				return err
			}
		}
		c.server.Store(server)
		return nil
	}
	return cfg
}

// bareTLSConfig authenticates nobody yet.
func (c *Client) bareTLSConfig(host string) *tls.Config {
	cfg := new(tls.Config)
	if c.TLSConfig != nil {
		cfg = c.TLSConfig.Clone()
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		cfg.MinVersion = tls.VersionTLS12 // RFC 8996, Section 4
	}
	// A renegotiated session would be another one than was authenticated, and takes the exporter away.
	cfg.Renegotiation = tls.RenegotiateNever
	cfg.NextProtos = []string{"http/1.1"}
	if cfg.ServerName == "" || host != c.origin.Hostname() {
		cfg.ServerName = host
	}
	return cfg
}
