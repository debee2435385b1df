// Package webhook has another system decide about enrollments and
// voucher-requests: a registrar.Ask that posts the case as JSON, signed, and reads
// allow, deny or wait. The other system may take as long as it likes: it answers
// "wait", and the device is told to ask again, which asks here again, with the
// same id; or it decides the waiting request through the operator's interface.
//
// docs/operations.md describes what is sent and what may be answered.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/briskest/briskest/internal/hooksign"
	"github.com/briskest/briskest/registrar"
)

// Config says whom to ask.
type Config struct {
	// URL is posted to. It is https, but for loopback addresses.
	URL string
	// Secret is the key of the HMAC over what is sent; 16 bytes at least.
	Secret []byte
	// Timeout bounds one question, connecting included. Zero: 5 s; 30 s at most.
	Timeout time.Duration
	// Roots are the CAs of the other system's certificate. Nil: the system's.
	Roots *x509.CertPool
	// AtOnce bounds the questions that are open; more are not asked but fail. Zero: 32.
	AtOnce int
	// Now is the clock of the signatures. Nil: time.Now.
	Now func() time.Time
}

const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = 30 * time.Second
	defaultAtOnce  = 32
	minSecret      = hooksign.MinSecret
	maxAnswer      = 8 << 10 // bytes
	maxHeader      = 8 << 10 // bytes
)

// The headers of a question.
const (
	// SignatureHeader is "t=SECONDS,v1=HEX": the HMAC-SHA256 of SECONDS, "." and the body.
	SignatureHeader = hooksign.Header
	// RequestHeader is the question's id; the same when it is asked again.
	RequestHeader = "Briskest-Request"
)

// ErrBusy says that as many questions are open as may be.
var ErrBusy = errors.New("webhook: too many questions are open")

// Client asks one other system. Its method Ask is a registrar.Ask. It is safe
// for concurrent use.
type Client struct {
	url     string
	secret  []byte
	timeout time.Duration
	now     func() time.Time
	http    *http.Client
	open    chan struct{} // a value for each question that is open
}

var _ registrar.Ask = (*Client)(nil).Ask

// New returns a client. An error says what is wrong with the configuration.
func New(c Config) (*Client, error) {
	if err := checkURL(c.URL); err != nil {
		return nil, err
	}
	if len(c.Secret) < minSecret {
		return nil, fmt.Errorf("the webhook's secret has %d bytes; use %d at least, such as from: openssl rand -hex 32", len(c.Secret), minSecret)
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout || c.AtOnce < 0 {
		return nil, fmt.Errorf("the webhook's timeout is %s; use %s at most: a decision that takes longer is answered with \"wait\"", c.Timeout, maxTimeout)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.AtOnce == 0 {
		c.AtOnce = defaultAtOnce
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: c.AtOnce, MaxConnsPerHost: c.AtOnce, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &Client{
		url: c.URL, secret: bytes.Clone(c.Secret), timeout: c.Timeout, now: c.Now, open: make(chan struct{}, c.AtOnce),
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// checkURL wants https: who answers is known by the certificate alone.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the webhook's url is not one; use https://HOST/PATH, without user and fragment")
	}
	address, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && address.IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return nil
	}
	return fmt.Errorf("the webhook's url has the scheme %q; use https, or http to a loopback address", u.Scheme)
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ask posts the case and returns what the other system says. An error is a
// system that cannot be reached, or an answer that is none.
func (c *Client) Ask(ctx context.Context, about *registrar.Case) (*registrar.Decision, error) {
	select {
	case c.open <- struct{}{}:
		defer func() { <-c.open }()
	default:
		return nil, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q := newQuestion(about)
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	res, err := c.post(ctx, q.ID, body)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	defer res.Body.Close()
	answer, err := readAnswer(res)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return answer.decision(), nil
}

func (c *Client) post(ctx context.Context, id string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "briskest")
	r.Header.Set(RequestHeader, id)
	r.Header.Set("Idempotency-Key", id)
	r.Header.Set(SignatureHeader, hooksign.Sign(c.secret, c.now(), body))
	res, err := c.http.Do(r)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		return nil, outer.Err // without the URL, which may have a secret in it
	}
	return res, err
}

func readAnswer(res *http.Response) (*answer, error) {
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d; an answer has 200", res.StatusCode)
	}
	if t, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, errors.New("the answer is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	return parseAnswer(body)
}
