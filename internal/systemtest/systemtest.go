// Package systemtest is a vendor with its MASA, the registrars of as many
// domains as a test needs, and devices: the services and the pledge library of
// this project, which speak to each other over TLS on 127.0.0.1, or in memory
// where a test is about time (RFC 8995, Section 2.1). Start with [New].
//
// What the parts keep is in memory: that they keep it across a crash is for the
// tests of their stores and of the program.
package systemtest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/tls"

	"github.com/briskest/briskest/internal/testpki"
)

// World is where everything happens. Its methods may be called concurrently.
type World struct {
	Vendor *Vendor

	t     testing.TB
	clock atomic.Int64 // of the services, in nanoseconds of Unix
	wires *wires       // nil for 127.0.0.1
}

// New starts a vendor, and the clock of all services, which stands still until
// Advance. change may alter the vendor before it starts.
func New(t testing.TB, change ...func(*Vendor)) *World {
	t.Helper()
	return start(t, nil, change)
}

// NewInMemory is New without a network: all connections are within this process, so
// that a bubble of testing/synctest may hold it.
func NewInMemory(t testing.TB, change ...func(*Vendor)) *World {
	t.Helper()
	return start(t, &wires{listeners: make(map[string]*wire)}, change)
}

func start(t testing.TB, w *wires, change []func(*Vendor)) *World {
	t.Helper()
	world := &World{t: t, wires: w}
	world.clock.Store(time.Now().Truncate(time.Second).UnixNano())
	world.Vendor = newVendor(world, change)
	return world
}

// Now is the time that the services have; in memory it is the bubble's.
func (w *World) Now() time.Time {
	if w.wires != nil {
		return time.Now().UTC()
	}
	return time.Unix(0, w.clock.Load()).UTC()
}

// Advance sets their clocks forward, where they stand still.
func (w *World) Advance(d time.Duration) { w.clock.Add(int64(d)) }

// Serve has h answer as id until the test ends, and returns its address, https://HOST:PORT.
func (w *World) Serve(id *testpki.Identity, h http.Handler) string {
	w.t.Helper()
	listener, err := w.listen()
	if err != nil {
		w.t.Fatalf("systemtest: %v", err)
	}
	server := &http.Server{
		Handler: h, ErrorLog: log.New(io.Discard, "", 0), // handshakes are broken off on purpose
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{id.TLS()}, ClientAuth: tls.RequestClientCert},
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeTLS(listener, "", "") // ErrServerClosed
	}()
	w.t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return "https://" + listener.Addr().String()
}

func (w *World) listen() (net.Listener, error) {
	if w.wires != nil {
		return w.wires.listen(), nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// Dial connects to what Serve has started.
func (w *World) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.wires != nil {
		return w.wires.dial(ctx, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// wires are connections within this process.
type wires struct {
	mu        sync.Mutex
	listeners map[string]*wire // by address; guarded by mu
}

func (w *wires) listen() net.Listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &wire{
		address: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 20000 + len(w.listeners)},
		calls:   make(chan net.Conn), done: make(chan struct{}),
	}
	w.listeners[l.address.String()] = l
	return l
}

func (w *wires) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	l := w.listeners[address]
	w.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	if l == nil {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case l.calls <- end{there, l.address}:
		return end{here, l.address}, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wire is a listener of wires.
type wire struct {
	address net.TCPAddr
	calls   chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (l *wire) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *wire) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *wire) Addr() net.Addr { return &l.address }

// end is one end of a connection, with an address as those of TCP have.
type end struct {
	net.Conn
	address net.TCPAddr
}

func (e end) RemoteAddr() net.Addr { return &e.address }
func (e end) LocalAddr() net.Addr  { return &e.address }

// Silent is a handler that reads a request and never answers; the client has to
// end it.
func Silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is seen
	<-r.Context().Done()
}
