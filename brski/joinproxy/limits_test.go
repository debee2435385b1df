package joinproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/joinproxy"
)

// dialer is TCP that tells see where to first.
func dialer(see func(address string)) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		see(address)
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
}

// world is a proxy in memory in front of a registrar in memory.
type world struct {
	*pipes
	proxy *joinproxy.Proxy
	dials atomic.Int32
}

func inMemory(t *testing.T, limits joinproxy.Limits, answer func(net.Conn)) *world {
	w := &world{pipes: newPipes()}
	w.proxy = &joinproxy.Proxy{Registrars: to("registrar:443"), Limits: limits}
	w.proxy.Dial = func(context.Context, string) (net.Conn, error) {
		w.dials.Add(1)
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			answer(far)
		}()
		return near, nil
	}
	serve(t, w.proxy, w.pipes)
	return w
}

// pledge connects from an address.
func (w *world) pledge(t *testing.T, from string) net.Conn {
	t.Helper()
	c, err := w.dial(from)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return c
}

// alive says whether c is answered.
func alive(c net.Conn) bool {
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

func TestOneAddressLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, joinproxy.Limits{Connections: 6, ConnectionsPerAddress: 2}, echo)
		var all []net.Conn
		for _, from := range []string{
			"[fe80::1%mem0]:1", "[fe80::1%mem0]:2", "[fe80::1%mem0]:3", // one too many
			"[fe80::2%mem0]:1",                                      // of the same /64, which is everybody's
			"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", // one /64
			"[::ffff:192.0.2.1]:1", "192.0.2.2:1", // beyond what there is
		} {
			c := w.pledge(t, from)
			defer c.Close()
			all = append(all, c)
			want := len(all) != 3 && len(all) != 7 && len(all) != 9
			if got := alive(c); got != want {
				t.Errorf("connection %d, from %s: answered = %v, want %v", len(all), from, got, want)
			}
		}
		if got := w.proxy.Stats(); got.Open != 6 || got.Refused != 3 {
			t.Errorf("stats = %+v, want 6 open and 3 refused", got)
		}
		all[0].Close()
		synctest.Wait()
		if c := w.pledge(t, "[fe80::1%mem0]:4"); !alive(c) {
			t.Error("a place that is free again is not given away")
		} else {
			c.Close()
		}
		for _, c := range all {
			c.Close()
		}
	})
}

// Those who connect and say nothing cost the registrar nothing, do not stay, and keep nobody out.
func TestTheSilentGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, joinproxy.Limits{Connections: 4}, echo)
		for i := range 4 {
			defer w.pledge(t, fmt.Sprintf("192.0.2.%d:1", i)).Close()
			time.Sleep(time.Second)
		}
		c := w.pledge(t, "192.0.2.99:1")
		defer c.Close()
		if !alive(c) {
			t.Error("silent connections keep others out")
		}
		if got := w.dials.Load(); got != 1 {
			t.Errorf("%d connections to the registrar, want that of the one who spoke", got)
		}
		time.Sleep(11 * time.Second)
		if got := w.proxy.Stats(); got.Open != 1 || got.Silent != 4 {
			t.Errorf("stats = %+v, want the silent gone after ten seconds", got)
		}
	})
}

func TestCircuitsEndWhenNothingPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The registrar speaks alone for a while, as with a long answer.
		w := inMemory(t, joinproxy.Limits{Idle: time.Minute}, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 1))
			for range 5 {
				time.Sleep(50 * time.Second)
				_, _ = c.Write([]byte("."))
			}
			_, _ = io.Copy(io.Discard, c)
		})
		c := w.pledge(t, "192.0.2.1:1")
		begin := time.Now()
		_, _ = c.Write([]byte("x"))
		got, err := io.ReadAll(c)
		if took := time.Since(begin); string(got) != "....." || took != 310*time.Second {
			t.Errorf("read %q, %v after %v; want five dots, and the end a minute after the last", got, err, took)
		}
	})
}

// Slow-loris: a byte now and then keeps a circuit for its lifetime, and not longer.
func TestCircuitsEndAfterTheirLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, joinproxy.Limits{Lifetime: 10 * time.Minute}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		c := w.pledge(t, "192.0.2.1:1")
		begin := time.Now()
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
			t.Errorf("the circuit ended after %v, want ten minutes", took)
		}
	})
}

func TestNobodyTakesTheLinkForHimself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, joinproxy.Limits{BytesPerSecond: 1 << 20}, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 1))
			_, _ = io.Copy(c, io.LimitReader(zeros{}, 10<<20))
		})
		c := w.pledge(t, "192.0.2.1:1")
		begin := time.Now()
		_, _ = c.Write([]byte("x"))
		n, _ := io.Copy(io.Discard, c)
		if took := time.Since(begin); n != 10<<20 || took < 9*time.Second || took > 11*time.Second {
			t.Errorf("%d bytes took %v, want 10 MiB in about ten seconds", n, took)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestARegistrarThatDoesNotAnswerIsLeftForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, joinproxy.Limits{Dial: 3 * time.Second}, echo)
		answers := w.proxy.Dial
		pipes := newPipes()
		p := &joinproxy.Proxy{Registrars: to("hangs:443", "answers:443"), Limits: joinproxy.Limits{Dial: 3 * time.Second}}
		p.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "hangs") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answers(ctx, address)
		}
		serve(t, p, pipes)
		c, err := pipes.dial("192.0.2.1:1")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begin := time.Now()
		if !alive(c) || time.Since(begin) != 3*time.Second {
			t.Errorf("answered after %v, want the next registrar after three seconds", time.Since(begin))
		}
	})
}

func TestStoppingEndsWhatDoesNotEndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipes := newPipes()
		near, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		p := &joinproxy.Proxy{Registrars: to("registrar:443"), Limits: joinproxy.Limits{Drain: 5 * time.Second}}
		p.Dial = func(context.Context, string) (net.Conn, error) { return near, nil }
		stop := serve(t, p, pipes)
		c, err := pipes.dial("192.0.2.1:1")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		begin := time.Now()
		stop()
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("stopping took %v, want five seconds", took)
		}
		if _, err := pipes.dial("192.0.2.1:2"); err == nil {
			t.Error("a stopped proxy takes connections")
		}
	})
}

// broken is a listener that never works.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("no files left") }
func (broken) Close() error              { return nil }
func (broken) Addr() net.Addr            { return &net.TCPAddr{} }

func TestAListenerThatStaysBrokenIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &joinproxy.Proxy{Registrars: to()}
		begin := time.Now()
		if err := p.Serve(t.Context(), broken{}); err == nil {
			t.Error("Serve = nil, want the listener's error")
		}
		if took := time.Since(begin); took < 10*time.Minute || took > 20*time.Minute {
			t.Errorf("given up after %v, want about a quarter of an hour", took)
		}
	})
}
