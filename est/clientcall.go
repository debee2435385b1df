package est

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/briskest/briskest/internal/httpauth"
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
	// at is where to ask instead of the operation's own path: a URL of the configured origin. Empty: there.
	at string
	// whole reads the body of a refusal as far as that of a success, not its beginning alone.
	whole bool
}

// get asks op with GET.
func get(op Operation) *request { return &request{op: op} }

// where is the URL to ask.
func (c *Client) where(q *request) (*url.URL, error) {
	at := q.at
	if at == "" {
		at = c.base + string(q.op)
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	return u, nil
}

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

// asking is one call on its way through redirects and challenges.
type asking struct {
	c  *Client
	q  *request
	to *url.URL
	// names are the hosts of the configured URI and of each redirect to another origin.
	names     []string
	redirects int
	session   *session // nil: the client's kept connections
	away      bool     // from the configured origin, or once was
	// auth answers this origin's challenges. Nil: the credentials may not go there.
	auth     *httpauth.Client
	answered bool // the request that was sent last had credentials
	stale    bool // a Digest was answered anew once
	body     []byte
}

// call asks and returns the answer, whatever its status; redirects are followed and challenges answered on the way.
func (c *Client) call(ctx context.Context, q *request) (*answer, error) {
	c.once.Do(c.prepare)
	if c.err != nil {
		return nil, c.err
	}
	u, err := c.where(q)
	if err != nil {
		return nil, err
	}
	if c.HTTP == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	a := &asking{c: c, q: q, to: u, names: []string{u.Hostname()}, auth: c.auth}
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
	if err := ctx.Err(); err != nil {
		return nil, err // net/http returns what a server says to the closing of the connection at the end of ctx
	}
	if location := redirectTo(res); location != "" {
		_, _ = io.CopyN(io.Discard, res.Body, maxErrorBody) // so that the connection can be kept
		return nil, a.follow(ctx, res, location)
	}
	if res.StatusCode == http.StatusUnauthorized {
		if a.challenged(res) {
			_, _ = io.CopyN(io.Discard, res.Body, maxErrorBody)
			return nil, nil
		}
		// RFC 7030, Section 3.2.3: a client that cannot answer the challenge closes the connection.
		defer a.c.CloseIdleConnections()
	}
	return readAnswer(a.q, res, a.c.now())
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
	a.authenticate(r)
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
