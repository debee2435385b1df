package joinproxy_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski/joinproxy"
	"github.com/briskest/briskest/internal/testpki"
)

// BRSKI-8995-4-01: what passes is the same on both sides, whatever version of
// TLS it is, or none.
func TestBytesPassUntouched(t *testing.T) {
	identity := testpki.NewRoot(t, "Domain Root").Server(t, "registrar")
	speak := func(version uint16) func(net.Conn) error {
		return func(c net.Conn) error {
			client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if _, err := said(client, "hello"); err != nil {
				return err
			}
			if got := client.ConnectionState().Version; got != version {
				return errors.New("another version was spoken")
			}
			return nil
		}
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, client := range map[string]func(net.Conn) error{
		"TLS 1.2": speak(tls.VersionTLS12),
		"TLS 1.3": speak(tls.VersionTLS13),
		"garbage": func(c net.Conn) error { _, err := said(c, strings.Repeat(string(every), 1000)); return err },
		"a ClientHello that is none": func(c net.Conn) error {
			_, err := said(c, "\x16\x03\x01\xff\xff\x01\x00\x00\x02\xff\xff")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan *recorded, 1)
			address, _ := start(t, &joinproxy.Proxy{Registrars: to(registrar(t, func(c net.Conn) {
				r := &recorded{Conn: c}
				if strings.HasPrefix(name, "TLS") {
					echo(tls.Server(r, &tls.Config{Certificates: []tls.Certificate{identity.TLS()}}))
				} else {
					echo(r)
				}
				seen <- r
			}))})
			pledge := &recorded{Conn: dial(t, address)}
			if name == "garbage" || name == "a ClientHello that is none" {
				if err := client(halfCloser{pledge}); err != nil {
					t.Fatal(err)
				}
			} else if err := client(pledge); err != nil {
				t.Fatal(err)
			}
			_ = pledge.Close()
			there := <-seen
			if len(pledge.written) == 0 || !bytes.Equal(pledge.written, there.read) {
				t.Errorf("%d bytes were sent and %d arrived, or others", len(pledge.written), len(there.read))
			}
			if len(there.written) == 0 || !bytes.HasPrefix(there.written, pledge.read) {
				t.Errorf("%d bytes were answered and %d arrived, or others", len(there.written), len(pledge.read))
			}
		})
	}
}

// halfCloser lets a recorded connection end one way.
type halfCloser struct{ *recorded }

func (h halfCloser) CloseWrite() error { return h.Conn.(*net.TCPConn).CloseWrite() }

func TestAnEndPassesAndTheAnswerStillComes(t *testing.T) {
	address, _ := start(t, &joinproxy.Proxy{Registrars: to(registrar(t, func(c net.Conn) {
		all, err := io.ReadAll(c) // returns only when the end has come
		if err == nil {
			_, _ = c.Write(bytes.ToUpper(all))
		}
	}))})
	if got, err := said(dial(t, address), "hello"); got != "HELLO" || err != nil {
		t.Errorf("after an end: %q, %v; want HELLO", got, err)
	}
}

func TestABrokenConnectionBreaksBoth(t *testing.T) {
	broken := make(chan error, 1)
	address, _ := start(t, &joinproxy.Proxy{Registrars: to(registrar(t, func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		broken <- err
	}))})
	c := dial(t, address)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	if err := <-broken; err == nil {
		t.Error("a reset arrives as an end, want a reset")
	}
}

func TestRegistrarsAreTriedInTurn(t *testing.T) {
	gone := listen(t)
	_ = gone.Close()
	var mu sync.Mutex
	tried := 0
	p := &joinproxy.Proxy{Registrars: to(gone.Addr().String(), registrar(t, echo))}
	p.Dial = dialer(func(address string) {
		mu.Lock()
		defer mu.Unlock()
		if address == gone.Addr().String() {
			tried++
		}
	})
	address, _ := start(t, p)
	for range 3 {
		if got, err := said(dial(t, address), "hello"); got != "hello" || err != nil {
			t.Errorf("with one registrar of two: %q, %v; want an answer", got, err)
		}
	}
	if tried != 1 {
		t.Errorf("the registrar that does not answer was tried %d times, want once in a while", tried)
	}
}

// The proxy is no way to anywhere: what the pledge says is not looked at, and
// without a registrar there is no circuit.
func TestWithoutARegistrarThePledgeIsTurnedAway(t *testing.T) {
	p := &joinproxy.Proxy{Registrars: to()}
	address, stop := start(t, p)
	if got, err := said(dial(t, address), "CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n"); got != "" || err == nil {
		t.Errorf("without a registrar: %q, %v; want a reset", got, err)
	}
	stop()
	if got := p.Stats(); got.Unreachable != 1 || got.Open != 0 {
		t.Errorf("stats = %+v, want one unreachable", got)
	}
}

// Somebody announces the proxy as a registrar.
func TestAProxyThatFindsItselfDoesNotGoInCircles(t *testing.T) {
	l := listen(t)
	p := &joinproxy.Proxy{Registrars: to(l.Addr().String())}
	stop := serve(t, p, l)
	if _, err := said(dial(t, l.Addr().String()), "hello"); err == nil {
		t.Error("a circle ends well, want a reset")
	}
	stop()
	if got := p.Stats(); got.Accepted != 1 || got.Looped != 1 {
		t.Errorf("stats = %+v, want the pledge alone, and a circle that was not begun", got)
	}
}

// As above, at an address by which the proxy does not know itself.
func TestACircleThatHasBegunIsEnded(t *testing.T) {
	l := listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &joinproxy.Proxy{Registrars: to(net.JoinHostPort("localhost", port))}
	stop := serve(t, p, l)
	if got, _ := said(dial(t, l.Addr().String()), "hello"); got != "" {
		t.Errorf("a circle answers %q", got)
	}
	stop()
	if got := p.Stats(); got.Looped == 0 || got.Open != 0 {
		t.Errorf("stats = %+v, want a circle and nothing open", got)
	}
}

func TestCircuitsUnderWayEndBeforeTheProxyDoes(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	p := &joinproxy.Proxy{Registrars: to(registrar(t, func(c net.Conn) {
		close(begun)
		<-release
		echo(c)
	}))}
	address, stop := start(t, p)
	answer := make(chan string, 1)
	c := dial(t, address)
	go func() {
		got, _ := said(c, "hello")
		answer <- got
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	close(release)
	if got := <-answer; got != "hello" {
		t.Errorf("the circuit under way got %q, want its answer", got)
	}
	<-stopped
	if got := p.Stats(); got.Up != 5 || got.Down != 5 || got.Open != 0 {
		t.Errorf("stats = %+v, want 5 bytes each way and none open", got)
	}
}
