package pledge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// link is a TLS connection to the registrar with an HTTP client on it. It
// starts provisional (RFC 8995, Section 5.1): the server has proved that it
// holds the key of its certificate, and nothing says whose that is. authenticate
// ends that state. Should the server close the connection in between requests,
// the next one opens another, to a server that passes the same test.
type link struct {
	client *http.Client
	server []*x509.Certificate // what the server presented on the first connection, leaf first
	config *tls.Config
	dial   func(ctx context.Context) (net.Conn, error)
	asked  atomic.Bool // for our certificate

	mu    sync.Mutex
	ready *tls.Conn                               // made, and not yet taken by client; guarded by mu
	trust func(server []*x509.Certificate) *Error // of connections made from now on; guarded by mu
}

// connect opens a link that authenticates itself with certificate. A nil trust
// is provisional: any server, but the same certificate on each connection.
func (r *run) connect(ctx context.Context, certificate *tls.Certificate, trust func([]*x509.Certificate) *Error) (*link, error) {
	l := &link{trust: trust}
	address := r.address
	l.dial = func(ctx context.Context) (net.Conn, error) { return r.c.Dial(ctx, "tcp", address) }
	l.config = &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8995, Section 5.1
		// Who the server is gets decided in VerifyConnection, and for a provisional
		// connection by the voucher (RFC 8995, Section 5.6.2).
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection:   l.verify,
		NextProtos:         []string{"http/1.1"}, // telemetry belongs on the connection of what it reports
		// Whatever CAs the server names: the registrar may know the manufacturer by other means.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			l.asked.Store(true)
			return certificate, nil
		},
	}
	// A pledge does not know the name of a registrar that it found or was given
	// the address of, and sends no SNI (RFC 8995, Section 5.1, erratum 6648). It
	// does know the names of those that the manufacturer or, by these, the owner
	// has told it (draft-ietf-anima-brski-cloud-20, Section 3.1.2).
	if r.via != viaGiven && r.via != viaDiscovered {
		l.config.ServerName = r.host
	}
	l.client = &http.Client{
		Transport: &http.Transport{
			DialTLSContext:         l.take,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		// Those that may be followed (RFC 8995, Section 5.6) need another
		// voucher-request: see redirected.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	conn, err := l.open(within)
	if err != nil {
		return nil, r.connectError(ctx, err)
	}
	l.ready = conn
	l.server = conn.ConnectionState().PeerCertificates
	return l, nil
}

// open makes one connection.
func (l *link) open(ctx context.Context) (*tls.Conn, error) {
	plain, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, l.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(&handshakeError{err}, plain.Close())
	}
	return conn, nil
}

// handshakeError tells TLS from the way to it.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// take is the transport's way to a connection.
func (l *link) take(ctx context.Context, _, _ string) (net.Conn, error) {
	l.mu.Lock()
	conn := l.ready
	l.ready = nil
	l.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	return l.open(ctx)
}

// verify runs in each handshake.
func (l *link) verify(state tls.ConnectionState) error {
	l.mu.Lock()
	trust := l.trust
	l.mu.Unlock()
	server := state.PeerCertificates
	switch {
	case trust != nil:
		if e := trust(server); e != nil {
			return e
		}
	case len(l.server) > 0 && !bytes.Equal(server[0].Raw, l.server[0].Raw):
		return &Error{
			Reason: ReasonCertificateChanged, class: ErrUntrusted, Section: "RFC 8995, Section 5.2",
			Message: "the server shows another certificate than the one that the voucher-request names",
		}
	}
	return nil
}

// authenticate tests the certificate of the connection that is open, and every
// later one, with trust (RFC 8995, Section 5.6.2).
func (l *link) authenticate(trust func([]*x509.Certificate) *Error) *Error {
	if e := trust(l.server); e != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trust = trust
	return nil
}

// mutual tells whether the server asked for the client's certificate.
func (l *link) mutual() bool { return l.asked.Load() }

func (l *link) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	conn := l.ready
	l.ready = nil
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // nothing was asked on it
	}
	l.client.CloseIdleConnections()
}

func (r *run) close() {
	r.link.close()
	r.link = nil
}

func (r *run) connectError(ctx context.Context, err error) error {
	var own *Error
	var handshake *handshakeError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &handshake) && ctx.Err() == nil:
		return &Error{
			Reason: ReasonTLS, class: ErrUnavailable, Err: err, Section: "RFC 8995, Section 5.1",
			Message: fmt.Sprintf("no TLS connection to %s; is that a registrar?", r.address),
		}
	default:
		return r.unreachable(ctx, "connecting", err)
	}
}
