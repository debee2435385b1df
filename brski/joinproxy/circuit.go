package joinproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bufferSize = 16 << 10
	burst      = 256 << 10 // bytes each way before a circuit is slowed down
)

// circuit is one pledge's connection and the registrar's that it became.
type circuit struct {
	proxy  *Proxy
	pledge net.Conn
	holder netip.Prefix
	begun  time.Time
	spoke  bool         // guarded by proxy.mu
	active atomic.Int64 // when something passed last, in Unix nanoseconds
	up     flow
	down   flow
}

// flow is one direction.
type flow struct {
	from, to net.Conn
	bytes    atomic.Int64
	why      string // it ended; for the log
}

// run is the life of the circuit. No registrar is bothered before the pledge has said
// something, as every TLS client does.
func (c *circuit) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.proxy.Limits.Lifetime)
	defer cancel()
	defer c.pledge.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.pledge.Close() })
	defer stop()
	buffer := make([]byte, bufferSize)
	n, err := c.first(buffer)
	if err != nil {
		return
	}
	registrar, at := c.dial(ctx)
	if registrar == nil {
		reset(c.pledge)
		return
	}
	defer registrar.Close()
	defer c.proxy.outgoing(registrar)()
	stopToo := context.AfterFunc(ctx, func() { _ = registrar.Close() })
	defer stopToo()
	c.relay(ctx, registrar, buffer, n)
	c.proxy.Log.InfoContext(ctx, "circuit closed", slog.String("pledge", c.pledge.RemoteAddr().String()), slog.String("registrar", at),
		slog.Int64("bytes_up", c.up.bytes.Load()), slog.Int64("bytes_down", c.down.bytes.Load()),
		slog.Duration("after", time.Since(c.begun)), slog.String("up_ended", c.up.why), slog.String("down_ended", c.down.why))
}

// first reads what the pledge says first.
func (c *circuit) first(buffer []byte) (int, error) {
	if err := c.pledge.SetReadDeadline(c.begun.Add(c.proxy.Limits.FirstBytes)); err != nil {
		return 0, err
	}
	n, err := c.pledge.Read(buffer)
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	if n > 0 && !c.proxy.speaks(c) {
		return 0, net.ErrClosed
	}
	if n > 0 {
		err = nil // the next read says it again
	}
	return n, err
}

// dial tries one registrar after the other; nil: none answered.
func (c *circuit) dial(ctx context.Context) (net.Conn, string) {
	p := c.proxy
	dial := p.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	registrars := p.order(p.Registrars())
	for _, r := range registrars {
		if at, err := netip.ParseAddrPort(r); err == nil && p.listens[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())] {
			p.looped() // somebody announces this proxy as a registrar
			continue
		}
		tried, cancel := context.WithTimeout(ctx, p.Limits.Dial)
		conn, err := dial(tried, r)
		cancel()
		if ctx.Err() == nil {
			p.answered(r, err == nil)
		}
		if err == nil {
			return conn, r
		}
		p.Log.WarnContext(ctx, "registrar does not answer", slog.String("registrar", r), slog.String("error", err.Error()))
	}
	p.mu.Lock()
	p.stats.Unreachable++
	p.mu.Unlock()
	if len(registrars) == 0 {
		p.Log.WarnContext(ctx, "no registrar is known; a pledge was turned away", slog.String("pledge", c.pledge.RemoteAddr().String()))
	}
	return nil, ""
}

// relay passes bytes both ways until both have ended, or one has broken. What
// the pledge has said already is the first n bytes of buffer.
func (c *circuit) relay(ctx context.Context, registrar net.Conn, buffer []byte, n int) {
	c.up.from, c.up.to = c.pledge, registrar
	c.down.from, c.down.to = registrar, c.pledge
	c.active.Store(time.Now().UnixNano())
	var both sync.WaitGroup
	both.Go(func() { c.pass(ctx, &c.up, buffer, n) })
	both.Go(func() { c.pass(ctx, &c.down, make([]byte, bufferSize), 0) })
	both.Wait()
}

// pass passes one direction; an end passes as an end, so that the other
// direction can go on, and all else breaks both.
func (c *circuit) pass(ctx context.Context, f *flow, buffer []byte, n int) {
	err := c.copy(ctx, f, buffer, n)
	switch {
	case err == nil && closeWrite(f.to) == nil:
		f.why = "end"
		return
	case ctx.Err() != nil:
		f.why = "lifetime or stop"
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.why = "idle"
	case errors.Is(err, errGone):
		f.why = "receiver gone" // as clients are that have got their answer
	default:
		f.why = "broken"
	}
	reset(f.from)
	reset(f.to)
}

// errGone says that what comes cannot be passed on.
var errGone = errors.New("the receiver takes no more")

// copy returns nil at the end of what comes.
func (c *circuit) copy(ctx context.Context, f *flow, buffer []byte, n int) error {
	begun := time.Now()
	for {
		if n > 0 {
			if err := c.write(f, buffer[:n]); err != nil {
				return fmt.Errorf("%w: %w", errGone, err)
			}
			if err := c.pace(ctx, f, begun); err != nil {
				return err
			}
		}
		var err error
		n, err = c.read(f, buffer)
		if errors.Is(err, io.EOF) && n == 0 {
			return nil
		}
		if err != nil && n == 0 {
			return err
		}
	}
}

// read waits for as long as anything passes, in this direction or the other.
func (c *circuit) read(f *flow, buffer []byte) (int, error) {
	idle := c.proxy.Limits.Idle
	for {
		last := time.Unix(0, c.active.Load())
		if err := f.from.SetReadDeadline(last.Add(idle)); err != nil {
			return 0, err
		}
		n, err := f.from.Read(buffer)
		if n > 0 {
			c.active.Store(time.Now().UnixNano())
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.active.Load() > last.UnixNano() {
			continue
		}
		return n, err
	}
}

func (c *circuit) write(f *flow, b []byte) error {
	if err := f.to.SetWriteDeadline(time.Now().Add(c.proxy.Limits.Idle)); err != nil {
		return err
	}
	n, err := f.to.Write(b)
	f.bytes.Add(int64(n))
	if n > 0 {
		c.active.Store(time.Now().UnixNano())
	}
	return err
}

// pace waits until the direction may go on: nobody takes the link for himself.
func (c *circuit) pace(ctx context.Context, f *flow, begun time.Time) error {
	over := f.bytes.Load() - burst
	if over <= 0 {
		return nil
	}
	due := time.Duration(float64(over) / float64(c.proxy.Limits.BytesPerSecond) * float64(time.Second))
	wait := due - time.Since(begun)
	if wait <= 0 {
		return nil
	}
	c.active.Store(time.Now().Add(wait).UnixNano()) // it is not idle meanwhile
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeWrite says to c's other end that nothing more comes.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
