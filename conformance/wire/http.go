package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/conformance"
)

// maxHeader is how many bytes the header of an answer may have.
const maxHeader = 64 << 10

// maxInterim is how many 1xx answers may come before the answer.
const maxInterim = 8

// Request is one HTTP request.
type Request struct {
	Method string
	Path   string      // from the root, such as "/.well-known/est/cacerts"; sent as it is
	Header [][2]string // sent as written, in order, after Host; the length is added
	Body   []byte
	Chunks int    // above 0: send the body chunked, so many bytes a chunk
	Proto  string // empty means HTTP/1.1
	Close  bool   // send Connection: close
}

// With returns a copy of r with one more header line.
func (r Request) With(name, value string) Request {
	r.Header = append(append([][2]string(nil), r.Header...), [2]string{name, value})
	return r
}

// Basic is the value of an Authorization header (RFC 7617, Section 2).
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Answer is what came back.
type Answer struct {
	Status  int
	Proto   string // such as "HTTP/1.1"
	Header  http.Header
	Length  int64 // the Content-Length; -1 without one
	Chunked bool
	Body    []byte
	Took    time.Duration
	head    []byte // the header as it came
	asked   string
}

// Do sends r over a new connection.
func (s *Site) Do(ctx context.Context, o *Options, r *Request) (*Answer, error) {
	c, err := s.Dial(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	defer c.Close()
	return c.Do(ctx, r)
}

// Do sends r and reads the whole answer. Redirects are not followed. Errors say
// what was asked; a body longer than the site's limit is one.
func (c *Conn) Do(ctx context.Context, r *Request) (*Answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.tls.NetConn().SetDeadline(time.Now()) })
	defer stop()
	sent := r.bytes(c.host)
	begun := time.Now()
	a, err := c.exchange(r, sent)
	if err != nil {
		if ctx.Err() != nil || isTimeout(err) {
			err = context.DeadlineExceeded
		}
		conformance.Record(ctx, conformance.Exchange{Sent: r.describe(), Came: err.Error(), RawSent: redact(sent)})
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	a.asked, a.Took = r.Method+" "+r.Path, time.Since(begun)
	conformance.Record(ctx, conformance.Exchange{
		Sent: r.describe(), Came: a.describe(), RawSent: redact(sent), RawCame: append(a.head, a.Body...),
	})
	return a, nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (c *Conn) exchange(r *Request, sent []byte) (*Answer, error) {
	// A server may answer before it has read all, and close: what it said is
	// what counts, so the error of writing is looked at only without an answer.
	_, writeErr := c.writer().Write(sent)
	var resp *http.Response
	for range maxInterim {
		c.reader.begin()
		var err error
		resp, err = http.ReadResponse(c.reader.buffer, &http.Request{Method: r.Method})
		if err != nil {
			return nil, errors.Join(writeErr, fmt.Errorf("reading the answer: %w", err))
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	// The body is not closed: that would read on for as long as the server sends.
	head := c.reader.head()
	limit := c.site.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("answered %d, and reading its body: %w", resp.StatusCode, err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("answered %d with more than %d bytes of body", resp.StatusCode, limit)
	}
	return &Answer{
		Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Length: lengthOf(resp),
		Chunked: len(resp.TransferEncoding) > 0, Body: body, head: head,
	}, nil
}

func (c *Conn) writer() io.Writer {
	if c.plain != nil {
		return c.plain
	}
	return c.tls
}

func lengthOf(resp *http.Response) int64 {
	n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// bytes is the request as it is sent.
func (r *Request) bytes(host string) []byte {
	var b bytes.Buffer
	proto := r.Proto
	if proto == "" {
		proto = "HTTP/1.1"
	}
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", r.Method, r.Path, proto, host)
	for _, h := range r.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if r.Close {
		b.WriteString("Connection: close\r\n")
	}
	switch {
	case r.Chunks > 0:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for rest := r.Body; len(rest) > 0; {
			n := min(r.Chunks, len(rest))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		b.WriteString("0\r\n\r\n")
	case len(r.Body) > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(r.Body), r.Body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func (r *Request) describe() string {
	s := r.Method + " " + r.Path
	for _, h := range r.Header {
		switch {
		case strings.EqualFold(h[0], "Authorization"):
			scheme, _, _ := strings.Cut(h[1], " ")
			s += ", " + scheme + " credentials"
		default:
			s += ", " + h[0] + ": " + h[1]
		}
	}
	if len(r.Body) > 0 {
		s += fmt.Sprintf(", %d bytes", len(r.Body))
	}
	return s
}

var secretLine = regexp.MustCompile(`(?im)^(authorization:[ \t]*\S+)[^\r\n]*`)

// redact takes the credentials out of a request's header.
func redact(sent []byte) []byte {
	head, body, found := bytes.Cut(sent, []byte("\r\n\r\n"))
	if !found {
		return nil
	}
	head = secretLine.ReplaceAll(head, []byte("$1 (withheld)"))
	return bytes.Join([][]byte{head, body}, []byte("\r\n\r\n"))
}

// OK reports whether the status is one of success that has an answer in the
// body. 202 is none: it says that the server has not decided
// (RFC 7030, Section 4.2.3).
func (a *Answer) OK() bool {
	return a.Status >= 200 && a.Status <= 299 && a.Status != http.StatusAccepted
}

// Refused reports whether the status blames the client.
func (a *Answer) Refused() bool { return a.Status >= 400 && a.Status <= 499 }

// MediaType returns the media type in lower case, its parameters left out, and
// "" when there is none. A parameter that does not parse does not matter.
func (a *Answer) MediaType() string {
	mediaType, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return mediaType
}

// Parameter returns a parameter of the media type in lower case.
func (a *Answer) Parameter(name string) string {
	_, parameters, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return strings.ToLower(parameters[name])
}

// HeaderLines returns the header as it came, a line each.
func (a *Answer) HeaderLines() []string {
	return strings.Split(strings.TrimRight(string(a.head), "\r\n"), "\r\n")
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

func (a *Answer) describe() string {
	s := fmt.Sprintf("%d %s", a.Status, a.Header.Get("Content-Type"))
	if len(a.Body) > 0 {
		s += fmt.Sprintf(", %d bytes", len(a.Body))
	}
	if a.MediaType() == "text/plain" && len(a.Body) > 0 {
		s += fmt.Sprintf(": %s", a.Body[:min(len(a.Body), 120)])
	}
	return s
}

// bufferedReader reads HTTP messages and remembers the header of the last one.
type bufferedReader struct {
	source io.Reader
	buffer *bufio.Reader
	seen   bytes.Buffer // what was read since begin, bounded
	taking bool
}

func newBufferedReader(source io.Reader) *bufferedReader {
	r := &bufferedReader{source: source}
	r.buffer = bufio.NewReader(r)
	return r
}

// Read implements [io.Reader] for the buffer.
func (r *bufferedReader) Read(p []byte) (int, error) {
	if r.seen.Len() > maxHeader && r.taking {
		return 0, fmt.Errorf("the header is longer than %d bytes", maxHeader)
	}
	n, err := r.source.Read(p)
	if r.taking {
		r.seen.Write(p[:n])
	}
	return n, err
}

// begin starts to remember, with what the buffer already holds.
func (r *bufferedReader) begin() {
	r.seen.Reset()
	held, _ := r.buffer.Peek(r.buffer.Buffered()) // what is there is there
	r.seen.Write(held)
	r.taking = true
}

// head ends to remember and returns the header.
func (r *bufferedReader) head() []byte {
	r.taking = false
	if head, _, found := bytes.Cut(r.seen.Bytes(), []byte("\r\n\r\n")); found {
		return append(bytes.Clone(head), "\r\n\r\n"...)
	}
	return bytes.Clone(r.seen.Bytes())
}

// Ended reports whether the server ends the connection within the time, or
// sends what nobody asked for.
func (c *Conn) Ended(ctx context.Context, within time.Duration) bool {
	deadline := time.Now().Add(within)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.tls.NetConn().SetReadDeadline(deadline); err != nil {
		return true
	}
	_, err := c.reader.buffer.ReadByte()
	return err != nil && !isTimeout(err)
}

// Plaintext sends r over TCP, without TLS.
func (s *Site) Plaintext(ctx context.Context, r *Request) (*Answer, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sent := r.bytes(s.authority())
	e := conformance.Exchange{Sent: "without TLS: " + r.describe(), RawSent: redact(sent)}
	c := &Conn{site: s, host: s.authority(), plain: conn, reader: newBufferedReader(conn)}
	a, err := c.exchange(r, sent)
	if err != nil {
		e.Came = err.Error()
		conformance.Record(ctx, e)
		return nil, err
	}
	a.asked = r.Method + " " + r.Path
	e.Came, e.RawCame = a.describe(), append(a.head, a.Body...)
	conformance.Record(ctx, e)
	return a, nil
}
