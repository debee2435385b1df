package httpserver_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/httpserver"
)

// silent opens connections from an address and says nothing on them.
func silent(t *testing.T, address, local string, n int) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

func TestAnAddressThatLetsItsHandshakesHangLeavesRoom(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	base, client := start(t, httpserver.Config{MaxHandshakes: 9, Routes: map[string]http.Handler{"/x": ok}})
	silent(t, strings.TrimPrefix(base, "https://"), "127.0.0.2", 40)
	if res := get(t, from(t, client, "127.0.0.3"), base+"/x"); res.StatusCode != http.StatusOK {
		t.Errorf("another address gets %s", res.Status)
	}
}

// A connection that waits is served when a handshake is over, in one way or
// the other, and connections beyond the handshakes are not lost.
func TestConnectionsWaitForTheHandshakesBeforeThem(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	base, client := start(t, httpserver.Config{MaxHandshakes: 8, Routes: map[string]http.Handler{"/x": ok}})
	hung := silent(t, strings.TrimPrefix(base, "https://"), "127.0.0.2", 8)
	served := make(chan string)
	for _, address := range []string{"127.0.0.3", "127.0.0.4", "127.0.0.5"} {
		c := from(t, client, address)
		go func() { served <- get(t, c, base+"/x").Status }()
	}
	if err := hung[0].Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if status := <-served; !strings.HasPrefix(status, "200") {
			t.Errorf("a connection that waited gets %s", status)
		}
	}
}

func TestConnectionsThatWaitEndWithTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpserver.New(l, httpserver.Config{MaxHandshakes: 1})
	conns := silent(t, l.Addr().String(), "127.0.0.2", 3)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	if err := s.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
		t.Logf("Shutdown: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, conn := range conns[1:] {
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("a connection that waited reads %d bytes", n)
		}
	}
}
