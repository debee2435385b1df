package est

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// request is one question of a client.
type request struct {
	op Operation
	// body makes the body of a POST, which is base64 already. Nil: GET. It is called again for each session where
	// linked is set, and gets the session's channel binding; otherwise once, with nil.
	body   func(binding []byte) ([]byte, error)
	linked bool
	// content is the media type of body.
	content string
	// accept is sent as such. Empty: not sent.
	accept string
}

// get asks op with GET.
func get(op Operation) *request { return &request{op: op} }

// post asks op with POST of der in base64.
func post(op Operation, content string, der []byte) *request {
	body := appendBase64(nil, der)
	return &request{op: op, content: content, body: func([]byte) ([]byte, error) { return body, nil }}
}

// maxSends bounds what a call sends: redirects, an answer to a challenge, connections that were closed meanwhile.
const (
	maxRedirects = 5
	maxSends     = 10
)

// exchange of a client: one call on its way through redirects and challenges.
type asking struct {
	c  *Client
	q  *request
	to *url.URL
	// names are the hosts of the configured URI and of each redirect to another origin.
	names     []string
	redirects int
	session   *session // nil: the client's kept connections
	away      bool     // from the configured origin, or once was
	trusted   bool     // the credentials may go to this origin
	body      []byte
}

// call asks and returns the answer, whatever its status; redirects are followed and challenges answered on the way.
func (c *Client) call(ctx context.Context, q *request) (*answer, error) {
	c.once.Do(c.prepare)
	if c.err != nil {
		return nil, c.err
	}
	u, err := url.Parse(c.base + string(q.op))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if c.HTTP == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	a := &asking{c: c, q: q, to: u, names: []string{u.Hostname()}, trusted: true}
	defer func() { a.session.close() }()
	for range maxSends {
		got, err := a.once(ctx)
		if errors.Is(err, errSessionOver) {
			a.leave()
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s at %s: %w", q.op, c.base, withoutURL(err))
		}
		if got != nil {
			return got, nil
		}
	}
	return nil, fmt.Errorf("%s at %s: the server closes each connection before it answers", q.op, c.base)
}

// once sends the request one time. It returns nil, nil where it is to be sent again.
func (a *asking) once(ctx context.Context) (*answer, error) {
	if err := a.ready(ctx); err != nil {
		return nil, err
	}
	r, err := a.request(ctx)
	if err != nil {
		return nil, err
	}
	do := a.c.do
	if a.session != nil {
		do = a.session.http.RoundTrip
	}
	res, err := do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if location := redirectTo(res); location != "" {
		_, _ = io.CopyN(io.Discard, res.Body, maxErrorBody) // so that the connection can be kept
		return nil, a.follow(ctx, res, location)
	}
	got, err := readAnswer(a.q.op, res, a.c.now())
	if res.StatusCode == http.StatusUnauthorized {
		// RFC 7030, Section 3.2.3: a client that cannot answer the challenge closes the connection.
		defer a.c.CloseIdleConnections()
	}
	return got, err
}

// ready sees to the connection, where it has to be one of this call's own, and to the body.
func (a *asking) ready(ctx context.Context) error {
	if (a.q.linked || a.away) && a.session == nil {
		if a.c.HTTP != nil {
			return fmt.Errorf("%w: HTTP is the caller's", ErrLink)
		}
		s, err := a.c.open(ctx, a.to, a.c.tlsConfig(a.names))
		if err != nil {
			return err
		}
		a.session = s
	}
	if a.q.body == nil || a.body != nil {
		return nil
	}
	var binding []byte
	if a.q.linked {
		if binding = a.session.binding(); binding == nil {
			return ErrLink
		}
	}
	var err error
	a.body, err = a.q.body(binding)
	return err
}

// leave closes the call's own connection and forgets what is linked to it.
func (a *asking) leave() {
	a.session.close()
	a.session = nil
	if a.q.linked {
		a.body = nil
	}
}

func (a *asking) request(ctx context.Context) (*http.Request, error) {
	method, content := http.MethodGet, io.Reader(nil)
	if a.q.body != nil {
		method, content = http.MethodPost, bytes.NewReader(a.body)
	}
	r, err := http.NewRequestWithContext(ctx, method, a.to.String(), content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	r.Header.Set("User-Agent", a.c.userAgent())
	if a.q.accept != "" {
		r.Header.Set("Accept", a.q.accept)
	}
	if a.q.body != nil {
		r.Header.Set("Content-Type", a.q.content)
		// Not needed since RFC 8951, Section 3; globalsign/est before 1.0.3 and old libest servers want it.
		r.Header.Set("Content-Transfer-Encoding", "base64")
	}
	if a.trusted && (a.c.User != "" || a.c.Password != "") {
		r.SetBasicAuth(a.c.User, a.c.Password.Reveal())
	}
	return r, nil
}

// withoutURL takes off what net/http puts around an error: the URL in it is the server's, after a redirect.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// redirected takes the call to another place of the same origin, or of another one.
func (a *asking) redirected(to *url.URL, consent bool) {
	if sameOrigin(a.to, to) {
		a.to = to
		return
	}
	a.leave()
	a.to, a.away, a.trusted = to, true, consent
	a.names = append(slices.Clip(a.names), to.Hostname())
}
