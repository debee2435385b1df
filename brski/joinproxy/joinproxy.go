// Package joinproxy lets pledges that have no address beyond their link reach a
// registrar, as the stateful circuit proxy of RFC 8995, Section 4: each TCP
// connection of a pledge becomes one to a registrar, and bytes pass untouched. TLS
// is between pledge and registrar; the proxy reads nothing, holds no key and
// decides about nobody.
//
// Start with a [Proxy]: it serves listeners, and connects to the registrars that
// it is told and to nobody else. [AnnounceWhile] keeps it announced by mDNS while it has one.
package joinproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Proxy is a circuit proxy. Set the fields, then call Serve.
type Proxy struct {
	// Registrars returns where to connect, HOST:PORT each, best first; asked for each
	// circuit. None: the circuit is closed. Required.
	Registrars func() []string
	// Limits bound what pledges can make the proxy hold.
	Limits Limits
	// Dial connects to a registrar; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Log  *slog.Logger // nil: none

	mu       sync.Mutex
	circuits map[*circuit]struct{}   // guarded by mu
	held     map[netip.Prefix]int    // circuits by whose they are; guarded by mu
	own      map[netip.AddrPort]bool // local ends towards registrars; guarded by mu
	listens  map[netip.AddrPort]bool // where pledges reach the proxy; not changed while it serves
	failed   map[string]time.Time    // registrars, and when they did not answer; guarded by mu
	stats    Stats                   // guarded by mu
}

// Limits of a proxy. Zero fields take the values named.
type Limits struct {
	Connections           int           // in all; 256
	ConnectionsPerAddress int           // of one IPv4 or link-local address, or one IPv6 /64; 8
	FirstBytes            time.Duration // until a pledge says something; 10 s
	Dial                  time.Duration // until a registrar answers, each; 5 s
	Idle                  time.Duration // for which nothing passes either way; 2 min
	Lifetime              time.Duration // of a circuit; 30 min
	BytesPerSecond        int           // each way of a circuit, after the first 256 KiB; 1 MiB
	Drain                 time.Duration // for circuits to end when the proxy stops; 20 s
}

// withDefaults fills in the zero fields.
func (l Limits) withDefaults() Limits {
	count := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	span := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	count(&l.Connections, 256)
	count(&l.ConnectionsPerAddress, 8)
	count(&l.BytesPerSecond, 1<<20)
	span(&l.FirstBytes, 10*time.Second)
	span(&l.Dial, 5*time.Second)
	span(&l.Idle, 2*time.Minute)
	span(&l.Lifetime, 30*time.Minute)
	span(&l.Drain, 20*time.Second)
	return l
}

// Stats count what happened since the proxy was made.
type Stats struct {
	Open        int   // circuits now
	Accepted    int64 // connections of pledges
	Refused     int64 // because of a limit
	Silent      int64 // that said nothing in time, or gave way to others
	Looped      int64 // that were the proxy's own
	Unreachable int64 // for which no registrar answered
	Up, Down    int64 // bytes towards registrars, and back
}

// Stats returns the counts now.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open = len(p.circuits)
	return s
}

// statsInterval is how often the counts are logged, when they have changed.
const statsInterval = 5 * time.Minute

// Serve takes connections of pledges from the listeners, which it closes, until
// ctx ends; then it waits for the circuits for [Limits].Drain and returns nil. An error
// says that a listener broke.
func (p *Proxy) Serve(ctx context.Context, listeners ...net.Listener) error {
	p.Limits = p.Limits.withDefaults()
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	p.listens = make(map[netip.AddrPort]bool)
	for _, l := range listeners {
		p.listens[endpoint(l.Addr())] = true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What runs when ctx ends may go on for a while.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	failed := make(chan error, len(listeners))
	var accepting, circuits sync.WaitGroup
	for _, l := range listeners {
		stop := context.AfterFunc(ctx, func() { _ = l.Close() })
		accepting.Go(func() {
			defer cancel()
			defer stop()
			if err := p.accept(ctx, lasting, l, &circuits); err != nil {
				failed <- err
			}
			_ = l.Close()
		})
	}
	accepting.Go(func() { p.logStats(ctx) })
	accepting.Wait()
	drain := time.AfterFunc(p.Limits.Drain, end)
	defer drain.Stop()
	circuits.Wait()
	p.log(context.WithoutCancel(ctx))
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// accept takes connections until ctx ends.
func (p *Proxy) accept(ctx, lasting context.Context, l net.Listener, circuits *sync.WaitGroup) error {
	// Where the system has no more files, for one, there will be some again: a
	// quarter of an hour of that is enough.
	const patience, shortest, longest = 1000, 50 * time.Millisecond, time.Second
	pause := shortest
	for failures := 0; ; {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed) || (err != nil && failures > patience):
			return err
		case err != nil:
			if failures++; failures == 1 {
				p.Log.ErrorContext(ctx, "connection not accepted", slog.String("error", err.Error()))
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
			continue
		}
		failures, pause = 0, shortest
		c := &circuit{proxy: p, pledge: conn, begun: time.Now()}
		if !p.admit(c) {
			reset(conn)
			continue
		}
		circuits.Go(func() {
			defer p.leave(c)
			c.run(lasting)
		})
	}
}

// logStats logs the counts from time to time.
func (p *Proxy) logStats(ctx context.Context) {
	ticker := time.NewTicker(statsInterval)
	defer ticker.Stop()
	var last Stats
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if now := p.Stats(); now != last {
				last = now
				p.log(ctx)
			}
		}
	}
}

func (p *Proxy) log(ctx context.Context) {
	s := p.Stats()
	p.Log.InfoContext(ctx, "join proxy", slog.Int("open", s.Open), slog.Int64("accepted", s.Accepted), slog.Int64("refused", s.Refused),
		slog.Int64("silent", s.Silent), slog.Int64("looped", s.Looped), slog.Int64("unreachable", s.Unreachable),
		slog.Int64("bytes_up", s.Up), slog.Int64("bytes_down", s.Down))
}
