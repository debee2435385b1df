// Package wire sends what checks send: TLS connections with chosen versions and
// suites, HTTP/1.1 requests byte for byte, and ClientHellos that no library
// makes. Everything is recorded for the check it belongs to. Start with [Site].
package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/briskest/briskest/conformance"
)

// DefaultMaxBody is how many bytes of an answer's body are read when the site
// says nothing else.
const DefaultMaxBody = 1 << 20

// Site is a server: where it is and whom its certificate is checked against.
type Site struct {
	URL     string         // https and authority, such as "https://est.example:8443"; nothing after it
	Roots   *x509.CertPool // anchors for the server's certificate; nil means the system's
	MaxBody int64          // bytes of one answer's body; 0 means DefaultMaxBody
}

// Check reports what is wrong with s, before anything is sent.
func (s *Site) Check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return fmt.Errorf("target: %w", err)
	case u.Scheme != "https":
		return fmt.Errorf("target %q: it is served over https only; write https://HOST:PORT", s.URL)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return fmt.Errorf("target %q: write https://HOST:PORT and nothing after it; labels and credentials have places of their own", s.URL)
	case s.MaxBody < 0:
		return errors.New("target: the body limit must not be negative")
	}
	return nil
}

// Host returns the host and the address with the port of s.
func (s *Site) Host() (host, address string) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", ""
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port)
}

// authority is what the Host header says (RFC 9110, Section 7.2).
func (s *Site) authority() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// Options of a TLS connection. The zero value is a TLS 1.2 or 1.3 connection
// without a client certificate.
type Options struct {
	Certificate *tls.Certificate // sent whatever issuers the server hints at; nil sends none
	Min, Max    uint16           // versions; 0 means TLS 1.2, and the highest there is
	Suites      []uint16         // of TLS 1.2 and below; nil means the library's
	Curves      []tls.CurveID    // nil means the library's
	ServerName  string           // for SNI and the certificate; empty means the site's host
	Protocols   []string         // ALPN; nil sends none
	Sessions    tls.ClientSessionCache
	Untrusted   bool // do not verify the server's certificate
	// Asked is called when the server asks for a certificate; nil for nothing.
	Asked func(*tls.CertificateRequestInfo)
}

// Conn is a TLS connection to a site.
type Conn struct {
	site   *Site
	tls    *tls.Conn
	plain  net.Conn // without TLS, in place of tls
	host   string
	reader *bufferedReader
}

// dial opens a TCP connection. The caller closes it.
func (s *Site) dial(ctx context.Context) (net.Conn, error) {
	_, address := s.Host()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed connection only, which the next use reports
	}
	return conn, nil
}

// Dial opens a TLS connection and completes the handshake. The caller closes
// it; it ends with ctx as well.
func (s *Site) Dial(ctx context.Context, o *Options) (*Conn, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	config := s.config(o)
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		conformance.Record(ctx, conformance.Exchange{Sent: "TLS handshake, " + describe(o), Came: err.Error()})
		conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return &Conn{site: s, tls: c, host: s.authority(), reader: newBufferedReader(c)}, nil
}

func (s *Site) config(o *Options) *tls.Config {
	host, _ := s.Host()
	config := &tls.Config{
		RootCAs: s.Roots, MinVersion: max(o.Min, tls.VersionTLS10), MaxVersion: o.Max, CipherSuites: o.Suites, ServerName: host,
		NextProtos: o.Protocols, ClientSessionCache: o.Sessions, CurvePreferences: o.Curves, InsecureSkipVerify: o.Untrusted,
	}
	if o.Min == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	if o.ServerName != "" {
		config.ServerName = o.ServerName
	}
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if o.Asked != nil {
			o.Asked(info)
		}
		if o.Certificate == nil {
			return new(tls.Certificate), nil
		}
		return o.Certificate, nil
	}
	return config
}

func describe(o *Options) string {
	s := "no client certificate"
	if o.Certificate != nil {
		s = "with a client certificate"
	}
	if o.Min != 0 {
		s += ", at least " + tls.VersionName(o.Min)
	}
	if o.Max != 0 {
		s += ", at most " + tls.VersionName(o.Max)
	}
	return s
}

// State is what the handshake agreed on.
func (c *Conn) State() tls.ConnectionState { return c.tls.ConnectionState() }

// Close ends the connection.
func (c *Conn) Close() error { return c.tls.Close() }

// Reachable connects and completes a handshake, whatever the server's certificate
// is: an error says that nothing can be asked there.
func (s *Site) Reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := s.Dial(ctx, &Options{Untrusted: true})
	if err != nil {
		return err
	}
	return c.Close()
}
