package httpserver_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/httpserver"
)

// from is the client at another address of this machine.
func from(t *testing.T, client *http.Client, address string) *http.Client {
	t.Helper()
	transport := client.Transport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	return &http.Client{Transport: transport}
}

func TestOneAddressLeavesRoomForTheRequestsOfOthers(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-release
	})
	quick := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	base, client := start(t, httpserver.Config{
		MaxInFlight: 8, InFlightPerAddress: 2, Routes: map[string]http.Handler{"/slow": slow, "/quick": quick},
	})
	ended := make(chan struct{}, 2)
	for range 2 {
		go func() {
			if res, err := client.Get(base + "/slow"); err == nil {
				res.Body.Close()
			}
			ended <- struct{}{}
		}()
		<-inside
	}
	other := from(t, client, "127.0.0.2")
	res := get(t, client, base+"/quick")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("the address beyond its share: %d, Retry-After %q; want 503 with seconds", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if res := get(t, other, base+"/quick"); res.StatusCode != http.StatusOK {
		t.Errorf("another address: %d, want 200", res.StatusCode)
	}
	close(release)
	<-ended
	<-ended
	if res := get(t, client, base+"/quick"); res.StatusCode != http.StatusOK {
		t.Errorf("the address, when its requests are answered: %d, want 200", res.StatusCode)
	}
}

func TestOneAddressLeavesRoomForTheConnectionsOfOthers(t *testing.T) {
	quick := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	base, client := start(t, httpserver.Config{
		MaxConnections: 8, ConnectionsPerAddress: 1, Routes: map[string]http.Handler{"/quick": quick},
	})
	get(t, client, base+"/quick")          // its connection stays open
	second := from(t, client, "127.0.0.1") // the same address
	if res, err := second.Get(base + "/quick"); err == nil {
		res.Body.Close()
		t.Errorf("a second connection where one is the share: %d", res.StatusCode)
	}
	if res := get(t, from(t, client, "127.0.0.2"), base+"/quick"); res.StatusCode != http.StatusOK {
		t.Errorf("another address: %d, want 200", res.StatusCode)
	}
	client.CloseIdleConnections()
	for {
		if t.Context().Err() != nil {
			t.Fatal("the place of a closed connection is not given back")
		}
		res, err := second.Get(base + "/quick") // soon: the server has to see the end of the first
		if err == nil {
			res.Body.Close()
			return
		}
	}
}

// Behind a join proxy are many (RFC 8995, Section 4).
func TestARelayHasRoomForManyDevices(t *testing.T) {
	quick := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	base, client := start(t, httpserver.Config{
		MaxConnections: 8, ConnectionsPerAddress: 1, Relays: []netip.Addr{netip.MustParseAddr("127.0.0.3")},
		Routes: map[string]http.Handler{"/quick": quick},
	})
	for range 4 { // half
		if res := get(t, from(t, client, "127.0.0.3"), base+"/quick"); res.StatusCode != http.StatusOK {
			t.Fatalf("a device behind a relay: %d, want 200", res.StatusCode)
		}
	}
	if res, err := from(t, client, "127.0.0.3").Get(base + "/quick"); err == nil {
		res.Body.Close()
		t.Errorf("a relay has more than half of all: %d", res.StatusCode)
	}
	if res := get(t, from(t, client, "127.0.0.4"), base+"/quick"); res.StatusCode != http.StatusOK {
		t.Errorf("another address: %d, want 200", res.StatusCode)
	}
}

func TestABodyThatStopsComingEnds(t *testing.T) {
	const pause = 50 * time.Millisecond
	read := make(chan error, 2)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		// What took long was the body; the answer may.
		select {
		case <-r.Context().Done():
			read <- r.Context().Err()
		case <-time.After(4 * pause):
			read <- nil
		}
	})
	base, client := start(t, httpserver.Config{BodyPause: pause, Routes: map[string]http.Handler{"/x": h}})
	conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), client.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nM")
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a body that stopped after its first byte: %v", err)
	}
	<-read
	for _, http2 := range []bool{false, true} {
		own := from(t, client, "127.0.0.1")
		own.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		res, err := own.Post(base+"/x", "text/plain", strings.NewReader("0123456789"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.ProtoMajor == 2) != http2 {
			t.Errorf("spoke %s", res.Proto)
		}
		if body, answer := <-read, <-read; body != nil || answer != nil {
			t.Errorf("%s: a body that came whole: %v, and its answer: %v", res.Proto, body, answer)
		}
	}
}
