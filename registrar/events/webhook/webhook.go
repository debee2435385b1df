// Package webhook posts events to somebody's HTTPS endpoint: CloudEvents 1.0 in
// structured mode, each in a request of its own, signed with HMAC-SHA256 over the time
// and the body. Start with [New]; docs/events.md says what a receiver does.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/hooksign"
	"github.com/briskest/briskest/registrar/events"
)

// Config says where to post.
type Config struct {
	// URL is posted to. It is https, but for loopback addresses. Redirects are not followed.
	URL string
	// Secret is the key of the signatures, 16 bytes at least.
	Secret []byte
	// Timeout bounds one request, connecting included. Zero: 10 s; 1 min at most.
	Timeout time.Duration
	// Roots are the CAs of the endpoint's certificate. Nil: the system's.
	Roots *x509.CertPool
	// Certificate is shown to the endpoint if it asks. Nil: none.
	Certificate *tls.Certificate
	// Connections bounds those to the endpoint. Zero: 32.
	Connections int
	// Now is the clock of the signatures. Nil: time.Now.
	Now func() time.Time
}

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Minute
	maxHeader      = 8 << 10 // bytes of an answer
	maxDrained     = 4 << 10 // bytes of an answer's body, read for the connection's sake
)

// Sender posts events. It is an events.Sender.
type Sender struct {
	url     string
	secret  []byte
	timeout time.Duration
	now     func() time.Time
	http    *http.Client
}

var _ events.Sender = (*Sender)(nil)

// New returns a Sender. An error says what is wrong with the configuration.
func New(c Config) (*Sender, error) {
	if err := checkURL(c.URL); err != nil {
		return nil, err
	}
	if len(c.Secret) < hooksign.MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes; use %d at least, such as from: openssl rand -hex 32", len(c.Secret), hooksign.MinSecret)
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout || c.Connections < 0 {
		return nil, fmt.Errorf("the timeout is %s; use %s at most: a receiver answers first and works then", c.Timeout, maxTimeout)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Connections == 0 {
		c.Connections = 32
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	secure := &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	if c.Certificate != nil {
		secure.Certificates = []tls.Certificate{*c.Certificate}
	}
	transport := &http.Transport{
		TLSClientConfig: secure, MaxIdleConnsPerHost: c.Connections, MaxConnsPerHost: c.Connections, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &Sender{
		url: c.URL, secret: bytes.Clone(c.Secret), timeout: c.Timeout, now: c.Now,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// checkURL wants https: who takes the events is known by the certificate alone.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the url is not one; use https://HOST/PATH, without user and fragment")
	}
	address, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && address.IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return nil
	}
	return fmt.Errorf("the url has the scheme %q; use https, or http to a loopback address", u.Scheme)
}

// Kind is "webhook".
func (s *Sender) Kind() string { return "webhook" }

// Close ends the idle connections.
func (s *Sender) Close() { s.http.CloseIdleConnections() }

// Send implements events.Sender: any status 2xx is a receipt. Of the answer only the status
// and the first bytes are read, and of those nothing is kept.
func (s *Sender) Send(ctx context.Context, m *events.Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(m.Body))
	if err != nil {
		return "", fmt.Errorf("%w: the request cannot be made", events.ErrUnavailable)
	}
	r.Header.Set("Content-Type", events.ContentType+"; charset=UTF-8")
	r.Header.Set("User-Agent", "briskest")
	r.Header.Set("Idempotency-Key", m.ID)
	r.Header.Set(hooksign.Header, hooksign.Sign(s.secret, s.now(), m.Body))
	res, err := s.http.Do(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", events.ErrUnavailable, withoutURL(err))
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDrained) // more is not worth the connection
	_ = res.Body.Close()
	return verdict(res.StatusCode)
}

// withoutURL drops the URL, which may have a secret in it.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// verdict says what a status means. A status about the request's content is about
// this event; one about who asks, where, or when is about all of them.
func verdict(status int) (string, error) {
	text := strconv.Itoa(status)
	switch {
	case status >= 200 && status < 300:
		return text, nil
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return "", fmt.Errorf("%w: status %s", events.ErrRejected, text)
	case status >= 300 && status < 400:
		return "", fmt.Errorf("%w: status %s: redirects are not followed", events.ErrUnavailable, text)
	case status >= 400 && status < 500,
		status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return "", fmt.Errorf("%w: status %s", events.ErrUnavailable, text)
	default:
		return "", fmt.Errorf("%w: status %s", events.ErrFailed, text)
	}
}
