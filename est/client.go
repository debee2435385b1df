package est

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Client asks an EST server. Fields are read at the first call and must not change after it; a Client is not copied
// then either. Its methods may be called concurrently.
//
// The server is authenticated before anything is sent (RFC 7030, Section 3.3.1). With Roots, an explicit trust anchor
// database, its certificate must name the host of URL or have the extended key usage id-kp-cmcRA (RFC 7030, Section
// 3.6.1); without Roots the system's roots count, and only the name does (RFC 7030, Section 3.6.2). Redirects to the
// same origin are followed, other ones are errors (RFC 7030, Section 3.2.1).
type Client struct {
	// URL is "https://host:port", or that with "/.well-known/est", or with "/.well-known/est/label".
	URL string
	// Label selects one of several CAs (RFC 7030, Section 3.2.2). Empty: the server's default.
	Label string
	// Roots verify the server. Nil: the system's roots.
	Roots *x509.CertPool
	// Certificate is what the client authenticates with in the handshake; for a re-enrollment the one to be replaced.
	Certificate *tls.Certificate
	// User and Password are sent as HTTP Basic credentials (RFC 7617, Section 2) with each request, once the server has
	// been authenticated. Both empty: none.
	User     string
	Password Secret
	// HTTP is used as it is when set; Roots, Certificate and TLSConfig are then unused. A nil CheckRedirect is replaced
	// by the rule above. A proxy needs it: without HTTP, none is used, whatever the environment says.
	HTTP *http.Client
	// TLSConfig is where the connection's configuration starts; Roots and Certificate are added. With
	// InsecureSkipVerify its VerifyConnection authenticates the server; without one no credentials are sent.
	TLSConfig *tls.Config
	// UserAgent is sent as such. Empty: "briskest".
	UserAgent string
	// Now is the clock for a Retry-After that is a date. Nil: time.Now.
	Now func() time.Time

	once sync.Once
	http *http.Client
	base string // URL up to and with the last slash before the operation
	err  error
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
	ErrURL      = errors.New("not the https URL of an EST server")
	ErrInsecure = errors.New("credentials are not sent to a server that nobody authenticates")
	ErrRedirect = errors.New("the server redirects to where the client must not follow")
	// ErrAnswer is a success that is none: the server's answer is not what RFC 7030, Sections 4.1.3, 4.2.3 and 4.5.2, ask for.
	ErrAnswer = errors.New("the server's answer is not valid")
)

// CACerts gets the CA certificates (RFC 7030, Section 4.1), in the server's order. Nothing but the TLS connection vouches
// for them: build chains to an anchor that you trust before using one.
//
// Errors: [*StatusError] for a refusal; those that match [ErrURL], [ErrInsecure], [ErrRedirect], [ErrAnswer]; those of
// net/http.
func (c *Client) CACerts(ctx context.Context) ([]*x509.Certificate, error) {
	a, err := c.call(ctx, OpCACerts, nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refusal()
	}
	return a.certificates()
}

// CSRAttrs gets the DER of the server's CsrAttrs (RFC 7030, Section 4.5), for [ParseCSRAttrs]. It is nil when the
// server has none: status 204 or 404 (RFC 7030, Section 4.5.2), or an empty list.
//
// Errors: as CACerts.
func (c *Client) CSRAttrs(ctx context.Context) ([]byte, error) {
	a, err := c.call(ctx, OpCSRAttrs, nil)
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusNoContent, http.StatusNotFound:
		return nil, nil
	default:
		return nil, a.refusal()
	}
	der, err := a.der(typeCSRAttrs)
	if err != nil {
		return nil, err
	}
	if _, err := ParseCSRAttrs(der); err != nil {
		return nil, a.invalid(err)
	}
	if bytes.Equal(der, []byte{0x30, 0x00}) {
		return nil, nil
	}
	return der, nil
}

// SimpleEnroll sends csr, the DER of a PKCS#10 request, and returns the certificate (RFC 7030, Section 4.2.1). It holds
// csr's public key; whether it holds the names that were asked for is the caller's to check, because a server may
// choose others.
//
// Errors: [*PendingError] for 202, which matches [ErrPending]: repeat the call after its RetryAfter; others as CACerts.
func (c *Client) SimpleEnroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return c.enroll(ctx, OpSimpleEnroll, csr)
}

// SimpleReenroll renews or rekeys the certificate that the client authenticates with (RFC 7030, Section 4.2.2). csr
// repeats its subject and alternative names; with the same key it is a renewal, with another one a rekey. Otherwise as
// SimpleEnroll.
func (c *Client) SimpleReenroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return c.enroll(ctx, OpSimpleReenroll, csr)
}

// CloseIdleConnections closes the connections that are kept for further calls. It does nothing to HTTP, which is the
// caller's.
func (c *Client) CloseIdleConnections() {
	c.once.Do(c.prepare)
	if c.HTTP == nil && c.err == nil {
		c.http.CloseIdleConnections()
	}
}

func (c *Client) enroll(ctx context.Context, op Operation, der []byte) (*x509.Certificate, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%s: the CSR: %w", op, err)
	}
	a, err := c.call(ctx, op, appendBase64(nil, der))
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusAccepted:
		return nil, &PendingError{RetryAfter: a.retryAfter}
	default:
		return nil, a.refusal()
	}
	certs, err := a.certificates()
	if err != nil {
		return nil, err
	}
	// RFC 7030, Section 4.2.3: the certificate that was issued, and no other.
	if len(certs) != 1 {
		return nil, a.invalid(fmt.Errorf("%d certificates instead of one", len(certs)))
	}
	if !bytes.Equal(certs[0].RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		return nil, a.invalid(errors.New("a certificate for another key than the CSR's"))
	}
	return certs[0], nil
}

// call does one request. body is base64; nil for GET.
func (c *Client) call(ctx context.Context, op Operation, body []byte) (*answer, error) {
	c.once.Do(c.prepare)
	if c.err != nil {
		return nil, c.err
	}
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, content = http.MethodPost, bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+string(op), content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	r.Header.Set("User-Agent", c.userAgent())
	if body != nil {
		r.Header.Set("Content-Type", typePKCS10)
		// Not needed since RFC 8951, Section 3; globalsign/est before 1.0.3 and old libest servers want it.
		r.Header.Set("Content-Transfer-Encoding", "base64")
	}
	if c.User != "" || c.Password != "" {
		r.SetBasicAuth(c.User, c.Password.Reveal())
	}
	res, err := c.http.Do(r)
	if err != nil {
		// Without what net/http puts around it: the URL in it is the server's, after a redirect.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, fmt.Errorf("%s at %s: %w", op, c.base, err)
	}
	defer res.Body.Close()
	a, err := readAnswer(op, res, c.now())
	if res.StatusCode == http.StatusUnauthorized {
		// RFC 7030, Section 3.2.3: a client that cannot answer the challenge closes the connection.
		defer c.CloseIdleConnections()
	}
	return a, err
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
	u, base, err := clientBase(c.URL, c.Label)
	if err != nil {
		c.err = err
		return
	}
	c.base = base
	if c.HTTP != nil {
		c.http = c.HTTP
	} else {
		if (c.User != "" || c.Password != "") && unauthenticated(c.TLSConfig) {
			c.err = ErrInsecure
			return
		}
		c.http = &http.Client{Transport: c.transport(), Timeout: callTimeout}
	}
	if c.http.CheckRedirect == nil {
		guarded := *c.http
		guarded.CheckRedirect = sameOrigin(u)
		c.http = &guarded
	}
}
