package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/briskest/briskest/registrar"
)

// maxAnswer bounds what a client reads into memory.
const maxAnswer = 256 << 20

// maxLimit is the most that a list gives at once.
const maxLimit = 10000

// Client calls the API. Its errors are *[Error]s where the server gave one;
// errors.Is finds registrar.ErrNotFound, ErrConflict and ErrInvalid in them.
// Methods may be called concurrently.
type Client struct {
	Domain string // of every call; empty for registrar.DefaultDomain
	// Token is shown with every call; empty for none.
	Token string

	base  string
	http  *http.Client
	table *table
}

// NewClient returns a client that connects with dial, to a unix socket say.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return newClient("http://localhost", &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	})
}

// NewRemote returns a client of the server at base, https://HOST[:PORT], by a transport that knows whom to trust
// and which certificate to show.
func NewRemote(base string, transport *http.Transport) *Client {
	return newClient(strings.TrimSuffix(base, "/"), transport)
}

// NewInProcess returns a client that calls a handler without any connection.
// Where the handler takes local people's word ([Local]), the client acts by the given name.
func NewInProcess(h http.Handler, actor string) *Client {
	return newClient("http://localhost", inProcess{h, actor})
}

func newClient(base string, transport http.RoundTripper) *Client {
	return &Client{base: base, table: operations(), http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a token goes nowhere else
	}}
}

// Close closes connections that are kept for the next call.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call does an operation and reads its answer.
func call[Out any](ctx context.Context, c *Client, id string, in any) (*Out, error) {
	response, err := c.send(ctx, id, in)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the registrar's answer: %w", err)
	}
	out := new(Out)
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("the registrar's answer: %w", err)
	}
	return out, nil
}

// fetch does an operation whose answer is a [Download], and writes that to w.
func fetch(ctx context.Context, c *Client, id string, in any, w io.Writer) error {
	response, err := c.send(ctx, id, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("the registrar's answer: %w", err)
	}
	return nil
}

// send does an operation. The answer is one of success.
func (c *Client) send(ctx context.Context, id string, in any) (*http.Response, error) {
	op := c.table.byID[id]
	request, err := c.request(ctx, op, reflect.ValueOf(in).Elem())
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the registrar: %w", errors.Unwrap(err)) // without the URL
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, problemOf(response)
	}
	return response, nil
}

// request writes a request as the operation declares it.
func (c *Client) request(ctx context.Context, op *operation, in reflect.Value) (*http.Request, error) {
	domain := c.Domain
	if domain == "" {
		domain = registrar.DefaultDomain
	}
	path := []string{url.PathEscape(domain)}
	query := url.Values{}
	values := make(map[string]string)
	for i := range op.fields {
		f := &op.fields[i]
		switch texts := f.textsIf(in); f.in {
		case inPath:
			if len(texts) == 0 || texts[0] == "." || texts[0] == ".." {
				return nil, fmt.Errorf("%s %q: %w", f.name, strings.Join(texts, ""), registrar.ErrInvalid)
			}
			values[f.name] = texts[0]
		case inQuery:
			if len(texts) > 0 {
				query[f.name] = texts
			}
		}
	}
	for _, s := range op.segments {
		if name, ok := parameter(s); ok {
			s = url.PathEscape(values[name])
		}
		path = append(path, s)
	}
	to := c.base + domainPrefix + strings.Join(path, "/")
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	body, mediaType, err := op.bodyOf(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, op.Method, to, body)
	if err != nil {
		return nil, err
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return request, nil
}

func (o *operation) bodyOf(in reflect.Value) (io.Reader, string, error) {
	switch {
	case !o.hasBody():
		return nil, "", nil
	case o.upload != nil:
		u := in.FieldByIndex(o.upload.index).Interface().(Upload)
		return u.Reader, u.MediaType, nil
	default:
		data, err := json.Marshal(in.Addr().Interface())
		return bytes.NewReader(data), "application/json", err
	}
}

// problemOf reads a refusal or failure.
func problemOf(response *http.Response) error {
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	e := &Error{}
	if err != nil || json.Unmarshal(answer, e) != nil || e.Message == "" {
		e = refuse(response.StatusCode, "internal", "the registrar answered %d without a reason", response.StatusCode)
	}
	e.Status = response.StatusCode
	return e
}

// inProcess is an http.RoundTripper that calls a handler.
type inProcess struct {
	h     http.Handler
	actor string
}

// RoundTrip calls the handler and hands over what it wrote.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	inner := r.WithContext(WithActor(r.Context(), p.actor))
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	p.h.ServeHTTP(w, inner)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
