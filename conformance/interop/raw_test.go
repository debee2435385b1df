package interop_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testbed"
)

// wire is a TLS connection to the registrar on which a test writes bytes of its own and reads what comes, as it came.
type wire struct {
	t       *testing.T
	conn    *tls.Conn
	in      *bufio.Reader
	records *atomic.Int64 // with application data, that came
}

// dial connects as libest and strongSwan do: without ALPN. A nil config is TLS 1.2 without a certificate.
func (s *site) dial(t *testing.T, c *tls.Config) *wire {
	t.Helper()
	if c == nil {
		c = &tls.Config{MaxVersion: tls.VersionTLS12}
	}
	c.RootCAs, c.ServerName = s.bed.Roots(t), "127.0.0.1"
	raw, err := net.Dial("tcp", s.host)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, records: new(atomic.Int64)}
	w.conn = tls.Client(&recordCounter{Conn: raw, records: w.records}, c)
	t.Cleanup(func() { w.conn.Close() })
	if err := w.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.in = bufio.NewReader(w.conn)
	return w
}

func (w *wire) send(text string) *wire {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Fatal(err)
	}
	return w
}

// reply is one answer: the lines of its header as they were spelled, and its body.
type reply struct {
	status int
	header []string // without the status line
	body   string
}

// read reads one answer and checks what every answer owes to some client.
func (w *wire) read() *reply {
	w.t.Helper()
	first := w.line()
	_, status, _ := strings.Cut(first, " ")
	status, _, _ = strings.Cut(status, " ")
	r := &reply{}
	var err error
	if r.status, err = strconv.Atoi(status); err != nil {
		w.t.Fatalf("status line %q: %v", first, err)
	}
	for line := w.line(); line != ""; line = w.line() {
		r.header = append(r.header, line)
	}
	if r.status == 100 || r.status == 204 {
		return r
	}
	length, err := strconv.Atoi(r.value("Content-Length"))
	if err != nil {
		w.t.Fatalf("no Content-Length, which libest and strongSwan need: %q", r.header)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(w.in, body); err != nil {
		w.t.Fatal(err)
	}
	r.body = string(body)
	return r
}

func (w *wire) line() string {
	w.t.Helper()
	line, err := w.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		w.t.Fatalf("header line %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// values are those of the header lines whose names are spelled so, letter case included.
func (r *reply) values(name string) []string {
	var values []string
	for _, line := range r.header {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			values = append(values, v)
		}
	}
	return values
}

// value is the header's when there is one, spelled so.
func (r *reply) value(name string) string {
	if values := r.values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}

// ask sends a request with Connection: close on a connection of its own.
func (s *site) ask(t *testing.T, c *tls.Config, request, header, body string) *reply {
	t.Helper()
	text := request + " HTTP/1.1\r\nHost: " + s.host + "\r\nConnection: close\r\n" + header
	if body != "" {
		text += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return s.dial(t, c).send(text + "\r\n" + body).read()
}

func (s *site) basicToken() string {
	return base64.StdEncoding.EncodeToString([]byte(s.user + ":" + s.password))
}

// recordCounter counts TLS records with application data (RFC 5246, Section 6.2.1) on their way in.
type recordCounter struct {
	net.Conn
	records *atomic.Int64
	head    []byte // of the record that is arriving
	left    int    // of its body
}

func (c *recordCounter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if c.left > 0 {
			skip := min(c.left, len(rest))
			c.left, rest = c.left-skip, rest[skip:]
			continue
		}
		take := min(5-len(c.head), len(rest))
		c.head, rest = append(c.head, rest[:take]...), rest[take:]
		if len(c.head) == 5 {
			if c.head[0] == 23 {
				c.records.Add(1)
			}
			c.left, c.head = int(c.head[3])<<8|int(c.head[4]), c.head[:0]
		}
	}
	return n, err
}

// opensslTools has openssl for a test that is no client's case.
func opensslTools(t *testing.T) *tools {
	testbed.Require(t, "openssl")
	return newTools(t)
}

func width(lines []string) int {
	if len(lines) == 0 {
		return 0
	}
	return len(slices.MaxFunc(lines, func(a, b string) int { return len(a) - len(b) }))
}
