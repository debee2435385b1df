// Package httpserver is the listener every device meets: TLS that asks for a
// client certificate and requires none, bounds on everything a peer can make
// us hold, and an orderly stop. What is for everybody, such as revocation lists,
// it serves without TLS and with the same bounds.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Config says how to serve. Zero fields take the values named.
type Config struct {
	// Certificates returns the server's certificates for each handshake, so
	// that a reload takes effect at once; the client gets the first that suits
	// the name it asks for. Required, unless Plain.
	Certificates func() []*tls.Certificate
	// Plain serves without TLS, for what is signed and public (RFC 5280, Section 8).
	Plain bool
	// Routes maps path prefixes, such as "/.well-known/est", to handlers. The
	// escaped path decides, and is never cleaned: a handler sees what was sent.
	Routes map[string]http.Handler
	// MaxConnections bounds the open connections; more wait in the kernel's
	// queue. Zero: 8192.
	MaxConnections int
	// MaxHandshakes bounds the connections between their beginning and the end
	// of their first request's header; more wait, and one address has an eighth of
	// them, and 8, at most. Zero: 512.
	MaxHandshakes int
	// MaxInFlight bounds the requests being answered; more get 503 with
	// Retry-After. Zero: 1024.
	MaxInFlight int
	// ConnectionsPerAddress and InFlightPerAddress bound what of these one
	// address holds (IPv6: one /64). A connection more is closed at once, a
	// request more gets 503 with Retry-After. Zero: half, 8 at least. Many
	// devices behind one address, as of a NAT or a load test, share these.
	ConnectionsPerAddress int
	InFlightPerAddress    int
	// Relays are addresses that many devices are behind, as join proxies'
	// (RFC 8995, Section 4). Each has half of everything at least.
	Relays []netip.Addr
	// BodyPause bounds for how long nothing of a request's body comes. Zero: 10 s.
	BodyPause time.Duration
	// ConnContext is http.Server.ConnContext; nil for none.
	ConnContext func(ctx context.Context, c net.Conn) context.Context
	Log         *slog.Logger
}

// Bounds on one connection.
const (
	headerTimeout  = 10 * time.Second // TLS handshake and header, each
	readTimeout    = 30 * time.Second // a whole request
	writeTimeout   = 90 * time.Second // a whole answer, waiting for a MASA included
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Server serves one listener.
type Server struct {
	http     *http.Server
	listener net.Listener
	routes   map[string]http.Handler
	inFlight chan struct{}
	shares   *shares // of inFlight
	pause    time.Duration
	jitter   atomic.Uint32
	log      *slog.Logger
}

// New prepares a server on l, which it owns from now on.
func New(l net.Listener, c Config) *Server {
	if c.MaxConnections == 0 {
		c.MaxConnections = 8192
	}
	if c.MaxHandshakes == 0 {
		c.MaxHandshakes = 512
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 1024
	}
	if c.BodyPause == 0 {
		c.BodyPause = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		routes: c.Routes, inFlight: make(chan struct{}, c.MaxInFlight), shares: newShares(c.InFlightPerAddress, c.MaxInFlight, c.Relays),
		pause: c.BodyPause, log: c.Log,
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         settled,
		ConnContext:       c.ConnContext,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	s.listener = newWaitingRoom(l, &c)
	if !c.Plain {
		s.listener = tls.NewListener(s.listener, TLSConfig(c.Certificates))
	}
	return s
}

// TLSConfig is how we meet devices. It asks for a client certificate without
// naming CAs, because a client whose root is not in such a list may send none,
// and verifies nothing: each operation decides which anchors apply. TLS 1.2
// stays on offer for clients that link proof-of-possession with tls-unique
// (RFC 7030, Section 3.5). Records are not sized dynamically, because
// strongSwan's pki reads an answer in two reads at most. http/1.0 is among the
// protocols because curl --http1.0 offers nothing else, and a handshake without
// a protocol in common fails (RFC 7301, Section 3.2).
//
// Of what RFC 9325 asks for, crypto/tls does the rest by itself: no TLS below
// 1.2, no compression, no renegotiation, forward secret suites only, extended
// master secret (RFC 9325, Section 3.5), session tickets whose keys change each
// day and are gone after a week (RFC 9325, Section 3.4), and no early data
// (RFC 9325, Section 3.10).
func TLSConfig(certificates func() []*tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ClientAuth:                  tls.RequestClientCert,
		DynamicRecordSizingDisabled: true,
		NextProtos:                  []string{"h2", "http/1.1", "http/1.0"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return choose(certificates(), hello)
		},
	}
}

// Serve answers until Shutdown; it then returns nil.
func (s *Server) Serve() error {
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops taking connections and waits for running requests until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// ServeHTTP finds the handler by the escaped path's prefix. No path is
// cleaned or redirected: a client that posts does not follow, and a decision
// made on one spelling must not be carried out on another.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	of := holder(r.RemoteAddr)
	if !s.shares.take(of) {
		s.overloaded(w)
		return
	}
	defer s.shares.leave(of)
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		s.overloaded(w)
		return
	}
	defer s.recovered(r)
	steady(w, r, s.pause)
	path := r.URL.EscapedPath()
	for prefix, handler := range s.routes {
		if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
			handler.ServeHTTP(w, r)
			return
		}
	}
	plain(w, http.StatusNotFound, "There is nothing at this path. EST is under /.well-known/est, BRSKI under /.well-known/brski.\n")
}

// recovered makes a panic end one request and not the process (R5), and says
// where it was; the connection is closed without an answer, for nobody knows
// what of it was sent.
func (s *Server) recovered(r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault != http.ErrAbortHandler {
		s.log.ErrorContext(r.Context(), "panic", slog.Any("fault", fault), slog.String("path", r.URL.EscapedPath()), slog.String("stack", string(debug.Stack())))
	}
	panic(http.ErrAbortHandler)
}

// overloaded answers 503 with a Retry-After of 2 to 9 seconds, spread so that
// those who are turned away together do not come back together.
func (s *Server) overloaded(w http.ResponseWriter) {
	seconds := 2 + s.jitter.Add(1)%8
	w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	plain(w, http.StatusServiceUnavailable, "The server is busy. Try again after the seconds in Retry-After.\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	body := []byte(text)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
