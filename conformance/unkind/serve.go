package unkind

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/conformance"
)

// serve makes the TLS connection and answers what comes on it.
func (s *Server) serve(origin, n int, plain net.Conn) {
	if err := plain.SetDeadline(time.Now().Add(maxHold)); err != nil {
		return
	}
	h := Handshake{Origin: origin}
	config := s.origins[origin].TLS(n).Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		h.ServerName = hello.ServerName
		return nil, nil
	}
	c := tls.Server(plain, config)
	h.Err = c.Handshake()
	s.mu.Lock()
	s.handshakes = append(s.handshakes, h)
	s.last = time.Now()
	s.mu.Unlock()
	if h.Err != nil {
		return
	}
	reader := bufio.NewReader(c)
	for s.exchange(origin, n, c, reader) {
	}
	_ = c.CloseWrite() // the client may be gone
}

// exchange answers one request. It reports whether the connection goes on.
func (s *Server) exchange(origin, n int, c *tls.Conn, reader *bufio.Reader) bool {
	r, err := http.ReadRequest(reader)
	if err != nil {
		return false
	}
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return false
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return false
	}
	state := c.ConnectionState()
	q := &Request{
		Conn: n, Origin: origin, Method: r.Method, Path: r.URL.EscapedPath(), Header: r.Header, Body: body, TLS: &state, At: time.Now(),
	}
	s.mu.Lock()
	s.last = q.At
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, q)
	}
	s.mu.Unlock()
	a := s.handle(s, q)
	if a == nil || a.Status == 0 {
		s.note(q, nil, nil)
		return false
	}
	sent, err := a.write(c)
	s.note(q, a, sent)
	return err == nil && !a.Close && !r.Close
}

// recorder notes exchanges for the check that ctx belongs to, without
// credentials.
func recorder(ctx context.Context) func(*Request, *Answer, []byte) {
	to := conformance.RecorderOf(ctx)
	return func(q *Request, a *Answer, sent []byte) {
		e := conformance.Exchange{Came: fmt.Sprintf("connection %d: %s %s, %d bytes", q.Conn, q.Method, q.Path, len(q.Body)), Sent: "the connection's end"}
		var raw bytes.Buffer
		fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\n", q.Method, q.Path)
		header := q.Header.Clone()
		if header.Get("Authorization") != "" {
			header.Set("Authorization", "[left out]")
		}
		_ = header.Write(&raw) // a buffer takes all
		raw.WriteString("\r\n")
		raw.Write(q.Body)
		e.RawCame = raw.Bytes()
		if a != nil {
			e.Sent, e.RawSent = fmt.Sprintf("%d, %d bytes", a.Status, len(a.Body)), sent
		}
		to.Record(e)
	}
}
