package est

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/internal/httpauth"
)

// Client asks an EST server. Fields are read at the first call and must not change after it; a Client is not copied
// then either. Its methods may be called concurrently.
//
// The server is authenticated and authorized in the handshake, before anything is sent (RFC 7030, Sections 3.3.1 and
// 3.6). Two databases of trust anchors may verify it, and each can be left out:
//
//   - Roots, the explicit one: then its certificate must name the host of URL, or that of the last redirect, or have the
//     extended key usage id-kp-cmcRA (RFC 7030, Section 3.6.1);
//   - Implicit, such as the system's: then it must name the host of URL and of every redirect, and id-kp-cmcRA does not
//     help (RFC 7030, Section 3.6.2).
//
// With neither, every call fails with [ErrNoAnchors]; [Client.Bootstrap] is the one way to start without. Which of them
// verified the server is remembered: [Client.Server].
type Client struct {
	// URL is "https://host:port", or that with "/.well-known/est", or with "/.well-known/est/label".
	URL string
	// Label selects one of several CAs (RFC 7030, Section 3.2.2). Empty: the server's default.
	Label string
	// Roots is the explicit trust anchor database: the CA certificates of the domain. Nil: there is none.
	Roots *x509.CertPool
	// Implicit is the implicit trust anchor database, such as x509.SystemCertPool returns. Nil: it is switched off.
	Implicit *x509.CertPool
	// Certificate is what the client authenticates with in the handshake; for a re-enrollment the one to be replaced.
	Certificate *tls.Certificate
	// User and Password answer an HTTP challenge: Digest with SHA-256 (RFC 7616) where the server offers it, else Basic
	// (RFC 7617). Nothing is sent before the server has been authenticated and has asked. Both empty: none.
	User     string
	Password Secret
	// Token answers a Bearer challenge (RFC 6750, Section 2.1), before the others. Empty: none.
	Token Secret
	// AllowMD5 answers Digest with MD5, which libest's server offers, rather than to send the password itself.
	AllowMD5 bool
	// Redirect is asked before a POST is repeated at another origin (RFC 7030, Section 3.2.1); true sends it, with the
	// client's credentials. Nil: never. A GET goes there without being asked for, and without the credentials. Wherever
	// it goes, the server there is authenticated and authorized anew.
	Redirect func(ctx context.Context, r *Redirect) bool
	// Dial makes the connections under TLS. Nil: TCP, without a proxy, whatever the environment says.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// HTTP is used as it is when set, for connections that the caller makes and authenticates; Roots, Implicit,
	// Certificate, Dial and TLSConfig are then unused, no other origin is followed, and no CSR can be linked to the
	// connection. A nil CheckRedirect follows redirects within the origin.
	HTTP *http.Client
	// TLSConfig is where the connection's configuration starts; the fields above are added. With InsecureSkipVerify its
	// VerifyConnection authenticates the server, in place of Roots and Implicit; without one nothing is sent. The
	// protocol is TLS 1.2 or later, and never renegotiated.
	TLSConfig *tls.Config
	// UserAgent is sent as such. Empty: "briskest".
	UserAgent string
	// Now is the clock for validity and for a Retry-After that is a date. Nil: time.Now.
	Now func() time.Time

	once   sync.Once
	auth   *httpauth.Client
	kept   *http.Transport // connections to the configured origin, for further calls; nil with HTTP
	do     func(*http.Request) (*http.Response, error)
	origin *url.URL
	base   string // URL up to and with the last slash before the operation
	err    error
	server atomic.Pointer[Server]
}

// Bounds on what a server may answer, in bytes of the body.
const (
	maxAnswer    = 1 << 20
	maxErrorBody = 2 << 10
)

// callTimeout bounds a call, whatever its context allows: a registrar may ask a MASA first.
const callTimeout = 2 * time.Minute

// Errors of a Client. Compare with errors.Is.
var (
	ErrURL       = errors.New("not the https URL of an EST server")
	ErrInsecure  = errors.New("nothing is sent to a server that nobody authenticates")
	ErrNoAnchors = errors.New("there are no trust anchors to authenticate the server by")
	ErrRedirect  = errors.New("the server redirects to where the client must not follow")
	// ErrAnswer is a success that is none: the server's answer is not what RFC 7030, Sections 4.1.3, 4.2.3 and 4.5.2, ask for.
	ErrAnswer = errors.New("the server's answer is not valid")
	// ErrLink is a CSR that cannot be linked to the connection (RFC 7030, Section 3.5).
	ErrLink = errors.New("the connection has no channel binding for the CSR")
)

// Server returns what the last handshake found out about the server; nil before the first, and with HTTP.
func (c *Client) Server() *Server { return c.server.Load() }

// CloseIdleConnections closes the connections that are kept for further calls. It does nothing to HTTP, which is the
// caller's.
func (c *Client) CloseIdleConnections() {
	c.once.Do(c.prepare)
	if c.kept != nil {
		c.kept.CloseIdleConnections()
	}
}

func (c *Client) userAgent() string {
	if c.UserAgent != "" {
		return c.UserAgent
	}
	return "briskest"
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// prepare checks the configuration and builds what is needed for calls.
func (c *Client) prepare() {
	if c.origin, c.base, c.err = clientBase(c.URL, c.Label); c.err != nil {
		return
	}
	c.auth = c.newAuth()
	if c.HTTP != nil {
		own := *c.HTTP
		if own.CheckRedirect == nil {
			own.CheckRedirect = keepRedirect
		}
		c.do = own.Do
		return
	}
	switch {
	case unauthenticated(c.TLSConfig):
		c.err = ErrInsecure
	case c.Roots == nil && c.Implicit == nil && !verifiesItself(c.TLSConfig):
		c.err = ErrNoAnchors
	default:
		c.kept = c.transport()
		c.do = c.kept.RoundTrip
	}
}

// keepRedirect hands a redirect to the caller instead of following it.
func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
