package estserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/briskest/briskest/est"
)

type connKey struct{}

// serveWrapped serves with h.conn around the TLS connections. net/http knows
// nothing of TLS then, so requests are told of it here.
func (h *house) serveWrapped(s *httptest.Server) {
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*tls.Conn); ok {
			state := c.ConnectionState()
			r.TLS = &state
		}
		inner.ServeHTTP(w, r)
	})
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c.(*wrapped).tls)
	}
	h.tls.NextProtos = []string{"http/1.1"}
	s.Listener = &wrapping{tls.NewListener(s.Listener, h.tls), h.conn}
	s.Start()
}

type wrapping struct {
	net.Listener
	conn func(net.Conn) net.Conn
}

func (l *wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wrapped{l.conn(c), c.(*tls.Conn)}, nil
}

type wrapped struct {
	net.Conn
	tls *tls.Conn
}

// reading changes what the server reads.
type reading struct {
	net.Conn
	change func([]byte) []byte
}

func (c *reading) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	copy(p, c.change(p[:n]))
	return n, err
}

// spelled loses the Content-Type that is spelled in small letters: it is taken
// for a header of as many letters.
func spelled(h *house) {
	h.conn = func(c net.Conn) net.Conn {
		return &reading{c, func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("\ncontent-type:"), []byte("\nx-odd-header:"))
		}}
	}
}

// second answers each second request on a connection otherwise.
func second(h *house) {
	var mu sync.Mutex
	seen := make(map[string]bool)
	wrap(func(_ *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		again := seen[r.RemoteAddr]
		seen[r.RemoteAddr] = true
		mu.Unlock()
		if again {
			http.Error(w, "once", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})(h)
}

// keepsOpen answers those requests and does not end the connection.
func keepsOpen(m match) fault {
	return wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		if !m(r, nil) {
			next.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		conn, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			h.t.Error(err)
			return
		}
		h.t.Cleanup(func() { conn.Close() })
		write(buffer.Writer, recorder)
	})
}

func write(b *bufio.Writer, recorder *httptest.ResponseRecorder) {
	fmt.Fprintf(b, "HTTP/1.1 %d OK\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n", recorder.Code, recorder.Body.Len(), recorder.Header().Get("Content-Type"))
	_, _ = b.Write(recorder.Body.Bytes()) // a client that went away has its answer
	_ = b.Flush()
}

// closing picks requests that say that they are the last.
func closing(r *http.Request, _ []byte) bool {
	return r.Close && r.ProtoMinor == 1 && on(est.OpCACerts)(r, nil) && r.Method == "GET"
}

// ofHTTP10 picks requests of HTTP/1.0.
func ofHTTP10(r *http.Request, _ []byte) bool { return r.ProtoMinor == 0 }
