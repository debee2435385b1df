package joinproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/joinproxy"
)

// start serves p on a loopback address until the test, or stop, ends it.
func start(t *testing.T, p *joinproxy.Proxy) (address string, stop func()) {
	t.Helper()
	l := listen(t)
	return l.Addr().String(), serve(t, p, l)
}

func serve(t *testing.T, p *joinproxy.Proxy, l net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func to(addresses ...string) func() []string { return func() []string { return addresses } }

// dial connects to the proxy as a pledge does.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// recorded is a connection that keeps what passed.
type recorded struct {
	net.Conn
	mu            sync.Mutex
	read, written []byte // guarded by mu
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = append(r.read, b[:n]...)
	return n, err
}

func (r *recorded) Write(b []byte) (int, error) {
	n, err := r.Conn.Write(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = append(r.written, b[:n]...)
	return n, err
}

// registrar answers each connection with answer, on a loopback address.
func registrar(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				answer(c)
			})
		}
	})
	return l.Addr().String()
}

// echo sends back what comes, and ends when it ends.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// said sends text and returns what comes back until the other end is closed.
func said(c net.Conn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return "", err
		}
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// pipes is a listener in memory, for tests in a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return named{"[fe80::1%mem0]:8443"} }

// dial connects from an address.
func (p *pipes) dial(from string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- pipeConn{far, from}:
		return near, nil
	case <-p.closed:
		return nil, errors.New("refused")
	}
}

type pipeConn struct {
	net.Conn
	from string
}

func (c pipeConn) RemoteAddr() net.Addr { return named{c.from} }

type named struct{ address string }

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return n.address }
