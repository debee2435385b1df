package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/briskest/briskest/est"
)

// Limits of a [Target] that leaves them out.
const (
	DefaultTimeout = 10 * time.Second
	DefaultMaxBody = 1 << 20
)

// maxHeader is how many bytes of headers an answer may have.
const maxHeader = 64 << 10

// Target is the server under test and what a client of it is given. It is not
// changed by a run.
type Target struct {
	URL         string           // https and authority, such as "https://est.example:8443"; nothing after it
	Label       string           // the additional path segment (RFC 7030, Section 3.2.2); empty for none
	Roots       *x509.CertPool   // anchors for the server's certificate; nil means the system's
	User        string           // HTTP Basic user
	Password    est.Secret       // HTTP Basic password; no password means no HTTP authentication
	Certificate *tls.Certificate // the client certificate to enroll with; nil for none
	Key         crypto.Signer    // what enrollments are for; nil means a P-256 key made for the run
	Subject     pkix.Name        // what an enrollment asks for; empty means CN=conformance
	Timeout     time.Duration    // for one check; 0 means DefaultTimeout
	MaxBody     int64            // bytes of one answer's body; 0 means DefaultMaxBody
}

// Check reports what is wrong with t, before anything is sent.
func (t *Target) Check() error {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return fmt.Errorf("target: %w", err)
	case u.Scheme != "https":
		return fmt.Errorf("target %q: EST is served over https only (RFC 7030, Section 3.3); write https://HOST:PORT", t.URL)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return fmt.Errorf("target %q: write https://HOST:PORT and nothing after it; labels and credentials have places of their own", t.URL)
	case t.Timeout < 0 || t.MaxBody < 0:
		return errors.New("target: timeout and body limit must not be negative")
	}
	return nil
}

// Credentials say as whom a request is sent.
type Credentials int

// The credentials.
const (
	Nobody          Credentials = iota // neither certificate nor password
	AsTarget                           // the target's password and client certificate, as far as it has them
	WithCertificate                    // Request.Certificate alone
)

// Request is one HTTP request to a target.
type Request struct {
	Method      string
	Path        string // from the root, such as "/.well-known/est/cacerts"; sent as it is
	ContentType string // empty sends none
	Body        []byte
	As          Credentials
	Certificate *tls.Certificate // for WithCertificate
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	asked  string
}

// Do sends r over a new TLS connection and reads the whole answer. Redirects
// are not followed. Errors say what was asked; a body longer than the target's
// limit is one.
func (t *Target) Do(ctx context.Context, r *Request) (*Answer, error) {
	asked := r.Method + " " + r.Path
	req, err := t.request(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", asked, err)
	}
	transport := t.transport(r)
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", asked, unwrapURL(err))
	}
	defer resp.Body.Close()
	limit := t.maxBody()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		// A server that waits for us to hang up can have its answer read while
		// the connection is being closed: it came too late all the same.
		return nil, fmt.Errorf("%s: %w", asked, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%s answered %d, and reading its body: %w", asked, resp.StatusCode, err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%s answered %d with more than %d bytes of body", asked, resp.StatusCode, limit)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, asked: asked}, nil
}

func (t *Target) request(ctx context.Context, r *Request) (*http.Request, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, err
	}
	u.Path, u.Opaque = "", ""
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String()+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if r.As == AsTarget && t.Password != "" {
		req.SetBasicAuth(t.User, string(t.Password))
	}
	return req, nil
}

// transport is used for one request. The client certificate is sent whatever
// issuers the server hints at: whether it is good enough is what is tested.
func (t *Target) transport(r *Request) *http.Transport {
	config := &tls.Config{RootCAs: t.Roots, MinVersion: tls.VersionTLS12}
	certificate := r.Certificate
	switch r.As {
	case Nobody:
		certificate = nil
	case AsTarget:
		certificate = t.Certificate
	case WithCertificate:
	}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	return &http.Transport{
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

func (t *Target) timeout() time.Duration {
	if t.Timeout == 0 {
		return DefaultTimeout
	}
	return t.Timeout
}

func (t *Target) maxBody() int64 {
	if t.MaxBody == 0 {
		return DefaultMaxBody
	}
	return t.MaxBody
}

// unwrapURL takes the method and URL off an error: the reason names them.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// OK reports whether the status is one of success that has an answer in the
// body. 202 is none: it says that the server has not decided (RFC 7030,
// Section 4.2.3).
func (a *Answer) OK() bool {
	return a.Status >= 200 && a.Status <= 299 && a.Status != http.StatusAccepted
}

// Refused reports whether the status blames the client.
func (a *Answer) Refused() bool {
	return a.Status >= 400 && a.Status <= 499
}

// MediaType returns the media type in lower case, its parameters left out, and
// "" when there is none. A parameter that does not parse does not matter.
func (a *Answer) MediaType() string {
	mediaType, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return mediaType
}

// String says what was asked and what came, for reasons: method, path, status
// and the beginning of a text body.
func (a *Answer) String() string {
	s := fmt.Sprintf("%s answered %d", a.asked, a.Status)
	if a.MediaType() == "text/plain" && len(a.Body) > 0 {
		s += fmt.Sprintf(" %q", a.Body[:min(len(a.Body), 120)])
	}
	return s
}
