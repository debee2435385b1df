// Package unkind is a TLS and HTTP server that is as odd as it is told to be,
// and the means to start the client that is under test against it again and
// again: the stage for the checks of EST clients and of pledges. It decides
// nothing itself. Start with [House] and [Open].
package unkind

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of what a client may send.
const (
	maxBody     = 1 << 20
	maxRequests = 200 // kept of one scenario
	maxHold     = 30 * time.Second
)

// Request is what a client asked.
type Request struct {
	Conn         int // the connection it came on, counted from 1 in each scenario
	Origin       int // which of the server's origins
	Method, Path string
	Header       http.Header
	Body         []byte
	TLS          *tls.ConnectionState
	At           time.Time
}

// Decoded returns the body without its base64 (RFC 8951, Section 3).
func (r *Request) Decoded() ([]byte, error) {
	return base64.StdEncoding.DecodeString(string(stripped(r.Body)))
}

// Certificate returns the client's certificate, DER; nil for none.
func (r *Request) Certificate() []byte {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0].Raw
}

// Handshake is one connection that was begun.
type Handshake struct {
	Origin     int
	ServerName string // that the client asked for
	Err        error  // why it came to nothing; nil for a good one
}

// Origin is one of a server's addresses.
type Origin struct {
	// TLS returns how the connection with that number, counted from 1 over all
	// origins, is made.
	TLS func(conn int) *tls.Config
}

// Always makes every connection the same way.
func Always(c *tls.Config) Origin { return Origin{TLS: func(int) *tls.Config { return c }} }

// Server serves one scenario.
type Server struct {
	host      string
	handle    func(*Server, *Request) *Answer
	origins   []Origin
	listeners []net.Listener
	done      sync.WaitGroup
	note      func(*Request, *Answer, []byte)

	mu         sync.Mutex
	conns      int // guarded by mu, as all below
	open       int // connections
	live       map[net.Conn]bool
	last       time.Time   // when something last happened
	handshakes []Handshake // in order of their end
	requests   []*Request  // in order
	closed     bool
}

// Options say what is served.
type Options struct {
	Listen  string // address of the first origin; the others get ports of their own
	Host    string // as URLs name it
	Origins []Origin
	// Handle answers; nil, and a status of zero, end the connection without an
	// answer. It may be called concurrently.
	Handle func(*Server, *Request) *Answer
}

// Open starts to serve; ctx is for the record only. The caller closes the server.
func Open(ctx context.Context, o *Options) (*Server, error) {
	s := &Server{host: o.Host, handle: o.Handle, origins: o.Origins, note: recorder(ctx), live: make(map[net.Conn]bool), last: time.Now()}
	address, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	for i := range o.Origins {
		at := o.Listen
		if i > 0 {
			at = net.JoinHostPort(address, "0")
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("listen: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	for i, l := range s.listeners {
		s.done.Go(func() { s.accept(i, l) })
	}
	return s, nil
}

// URL returns the https URL of an origin, with nothing after the port.
func (s *Server) URL(origin int) string {
	_, port, err := net.SplitHostPort(s.listeners[origin].Addr().String())
	if err != nil {
		port = "443"
	}
	return "https://" + net.JoinHostPort(s.host, port)
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.live {
		_ = c.Close() // it may be closed already
	}
	s.mu.Unlock()
	for _, l := range s.listeners {
		_ = l.Close() // nothing is written to it
	}
	s.done.Wait()
}

// Requests returns what was asked, in order.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Request(nil), s.requests...)
}

// Handshakes returns the connections that were begun, in order of the end of their handshakes.
func (s *Server) Handshakes() []Handshake {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Handshake(nil), s.handshakes...)
}

// Idle returns when a client has been here and has gone, or has asked nothing
// for quiet. Its error says that none came before ctx ended.
func (s *Server) Idle(ctx context.Context, quiet time.Duration) error {
	tick := time.NewTicker(quiet / 10)
	defer tick.Stop()
	for {
		s.mu.Lock()
		came, gone, still := s.conns > 0, s.open == 0, time.Since(s.last)
		s.mu.Unlock()
		if came && (gone && still > quiet || still > 5*quiet) {
			return nil
		}
		select {
		case <-ctx.Done():
			if came {
				return nil
			}
			return errors.New("no client came")
		case <-tick.C:
		}
	}
}

func (s *Server) accept(origin int, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close() // nobody waits for it
			return
		}
		s.conns++
		n := s.conns
		s.open++
		s.live[c] = true
		s.last = time.Now()
		s.mu.Unlock()
		s.done.Go(func() {
			s.serve(origin, n, c)
			_ = c.Close() // the client has all it gets
			s.mu.Lock()
			defer s.mu.Unlock()
			s.open--
			delete(s.live, c)
			s.last = time.Now()
		})
	}
}

// retryAfter is a header line.
func retryAfter(seconds int) [2]string { return [2]string{"Retry-After", strconv.Itoa(seconds)} }
