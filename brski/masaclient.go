package brski

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a MASAClient.
const (
	maxMASAAnswer  = 1 << 20
	maxMASAText    = 4 << 10 // of a refusal, read
	defaultTimeout = 30 * time.Second
	maxRetryAfter  = time.Hour
	// maxIdle is how many connections are kept: a handshake costs more than all else
	// that is done for a voucher, and devices that are switched on together come together.
	maxIdle = 64
	// writeBuffer holds a request of the usual size, so that it leaves in one record.
	writeBuffer = 16 << 10
)

// MASAClient asks a MASA over HTTPS (RFC 8995, Sections 5.4 to 5.8). It always
// says what it accepts (minerva's highway fails without), follows no redirect,
// and takes at most 1 MiB. Its errors are *[MASAError]s, but for those of ctx.
// Its methods may be called concurrently; it must not be copied after the first call.
type MASAClient struct {
	URL string // base, such as "https://masa.example/.well-known/brski"; see voucher.MASAURL
	// Roots are the anchors that the MASA's server certificate chains to; nil for the system's.
	Roots *x509.CertPool
	// Certificate is the registrar's TLS client certificate; nil for none (RFC 8995, Section 5.4).
	Certificate *tls.Certificate
	// HTTP replaces the client made from Roots and Certificate. Its CheckRedirect is not used. A proxy
	// needs it: without HTTP none is used, whatever the environment says.
	HTTP    *http.Client
	Timeout time.Duration // of one operation; zero for 30 s
	// Prepare, where it is set, adds to each request, such as a header of a trace. It
	// runs concurrently, and leaves alone what the client has set.
	Prepare func(*http.Request)

	once   sync.Once
	client *http.Client // made by once, as are the others
	root   *url.URL     // of URL
	bad    error        // what is wrong with URL
}

var _ MASA = (*MASAClient)(nil)

// RequestVoucher posts r.Raw to requestvoucher (RFC 8995, Section 5.5) and
// returns the MASA's voucher, byte for byte. r.Accept must not be empty: it is
// what the pledge can read.
func (c *MASAClient) RequestVoucher(ctx context.Context, r *MASARequest) (*Voucher, error) {
	if len(r.Accept) == 0 {
		return nil, errors.New("brski: MASARequest.Accept is empty")
	}
	a, err := c.do(ctx, &masaCall{
		op: OpRequestVoucher, method: http.MethodPost, body: r.Raw, contentType: r.MediaType, accept: r.Accept, want: r.Accept,
	})
	if err != nil {
		return nil, err
	}
	return &Voucher{MediaType: a.mediaType, Raw: a.body}, nil
}

// RequestAuditLog posts r.Raw, the request that the voucher was asked for with,
// to requestauditlog (RFC 8995, Section 5.8). A MASA that answers 201 with a
// Location on the same host is asked there.
func (c *MASAClient) RequestAuditLog(ctx context.Context, r *MASARequest) (*AuditLog, error) {
	call := &masaCall{
		op: OpRequestAuditLog, method: http.MethodPost, body: r.Raw, contentType: r.MediaType,
		accept: []string{jsonMediaType}, want: []string{jsonMediaType},
	}
	a, err := c.do(ctx, call)
	if err == nil && a.location != "" {
		a, err = c.do(ctx, &masaCall{
			op: OpRequestAuditLog, method: http.MethodGet, url: a.location, accept: call.accept, want: call.want,
		})
	}
	if err != nil {
		return nil, err
	}
	l, err := ParseAuditLog(a.body)
	if err != nil {
		return nil, &MASAError{Operation: OpRequestAuditLog, Status: http.StatusOK, Err: err}
	}
	return l, nil
}

// CloseIdleConnections closes the connections that wait for the next request.
func (c *MASAClient) CloseIdleConnections() { c.http().CloseIdleConnections() }

// masaCall is one request to a MASA.
type masaCall struct {
	op          Operation
	method      string
	url         string // empty for the operation's
	body        []byte
	contentType string
	accept      []string
	want        []string // media types of a 200
}

// masaAnswer is a 200, or a 201 with a location.
type masaAnswer struct {
	mediaType string
	body      []byte
	location  string
}

func (c *MASAClient) do(ctx context.Context, call *masaCall) (*masaAnswer, error) {
	client := c.http()
	if c.bad != nil {
		return nil, &MASAError{Operation: call.op, Err: c.bad}
	}
	base := c.root
	target := call.url
	if target == "" {
		target = base.String() + "/" + string(call.op)
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, call.method, target, bytes.NewReader(call.body))
	if err != nil {
		return nil, &MASAError{Operation: call.op, Err: err}
	}
	request.Header.Set("Accept", strings.Join(call.accept, ", "))
	if call.contentType != "" {
		request.Header.Set("Content-Type", call.contentType)
	}
	if c.Prepare != nil {
		c.Prepare(request)
	}
	response, err := client.Do(request)
	if err == nil {
		defer response.Body.Close()
		// At the end of the time net/http closes the connection, and still returns what comes before that is
		// done. A server in Go answers the closing itself with an empty 200: silence, and not the MASA's answer.
		err = within.Err()
	}
	if err != nil {
		return nil, transportError(ctx, call.op, err)
	}
	if call.op == OpRequestAuditLog && response.StatusCode == http.StatusCreated && call.url == "" {
		return created(call.op, base, response)
	}
	if response.StatusCode != http.StatusOK {
		return nil, statusError(call.op, response)
	}
	a, err := readAnswer(ctx, call, response)
	if late := within.Err(); late != nil { // the closing may have ended the body, too
		return nil, transportError(ctx, call.op, late)
	}
	return a, err
}

// base checks URL: HTTPS is the only scheme (RFC 8995, Section 5.4).
func (c *MASAClient) base() (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("MASA URL: %w", err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("MASA URL %q: https://HOST/PATH was expected", clip(c.URL, 100))
	}
	return u, nil
}

func (c *MASAClient) http() *http.Client {
	c.once.Do(func() {
		c.root, c.bad = c.base()
		if c.HTTP != nil {
			own := *c.HTTP
			c.client = &own
		} else {
			c.client = &http.Client{Transport: c.transport()}
		}
		c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	})
	return c.client
}

// transport speaks TLS 1.2 or newer, with SNI as crypto/tls sends it for every
// host that is a name (RFC 8995, Section 5.4 with erratum 6642).
func (c *MASAClient) transport() *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots, DynamicRecordSizingDisabled: true}
	if c.Certificate != nil {
		certificate := c.Certificate
		// Whatever CAs the MASA names: it may know ours by other means.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		WriteBufferSize:        writeBuffer,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

// transportError tells a caller who gave up, a MASA that does not prove who it
// is, and a way that is down apart.
func transportError(ctx context.Context, op Operation, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("MASA %s: %w", op, ctx.Err())
	}
	var untrusted *tls.CertificateVerificationError
	return &MASAError{Operation: op, Err: err, unavailable: !errors.As(err, &untrusted)}
}

func statusError(op Operation, response *http.Response) error {
	e := &MASAError{Operation: op, Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"))}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxMASAText))
	if err == nil {
		e.Message = bounded(string(text), 300)
	}
	switch s := response.StatusCode; {
	case s == http.StatusAccepted, s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500:
		e.unavailable = true
	case s >= 300 && s < 400:
		e.Err = errors.New("redirects are not followed")
	}
	return e
}

// created reads a 201 (RFC 8995, Section 5.8). The place must be on the MASA's
// own host: a registrar does not fetch what it is told to from elsewhere.
func created(op Operation, base *url.URL, response *http.Response) (*masaAnswer, error) {
	location, err := response.Location()
	if err != nil || location.Scheme != base.Scheme || !strings.EqualFold(location.Host, base.Host) || location.User != nil {
		return nil, &MASAError{Operation: op, Status: response.StatusCode, Err: errors.New("no Location on the same host")}
	}
	return &masaAnswer{location: location.String()}, nil
}

func readAnswer(ctx context.Context, call *masaCall, response *http.Response) (*masaAnswer, error) {
	a := &masaAnswer{mediaType: mediaType(response.Header["Content-Type"])}
	bad := func(format string, args ...any) error {
		return &MASAError{Operation: call.op, Status: response.StatusCode, Err: fmt.Errorf(format, args...)}
	}
	if !slices.Contains(call.want, a.mediaType) {
		return nil, bad("media type %q, want %s", bounded(response.Header.Get("Content-Type"), 80), strings.Join(call.want, " or "))
	}
	var err error
	a.body, err = io.ReadAll(io.LimitReader(response.Body, maxMASAAnswer+1))
	switch {
	case err != nil:
		return nil, transportError(ctx, call.op, err)
	case len(a.body) > maxMASAAnswer:
		return nil, bad("more than %d bytes", maxMASAAnswer)
	case len(a.body) == 0:
		return nil, bad("the body is empty")
	default:
		return a, nil
	}
}

// retryAfter reads a Retry-After header (RFC 9110, Section 10.2.3), bounded.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}
