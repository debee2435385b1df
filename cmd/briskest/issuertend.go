package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/briskest/briskest/ca"
)

// checker is an issuer that can say whether the CA it asks is well.
type checker interface {
	Check(ctx context.Context) error
}

// keeper is an issuer that has something to keep alive while nothing is issued,
// such as a login. KeepAlive returns when ctx ends.
type keeper interface{ KeepAlive(ctx context.Context) }

// closer is an issuer that keeps connections to the CA it asks. It may be asked
// after Close, by requests that began before; it keeps none then.
type closer interface{ Close() }

// tending looks after the issuers that ask another CA while the server runs:
// once when they are loaded it says in the log what is wrong with them, and
// from then on it keeps alive what has to be. Those that others follow are closed.
type tending struct {
	log  *slog.Logger
	next chan map[string]ca.Issuer // those that were loaded last
}

func newTending(log *slog.Logger, issuers map[string]ca.Issuer) *tending {
	t := &tending{log: log, next: make(chan map[string]ca.Issuer, 1)}
	t.set(issuers)
	return t
}

// set has other issuers looked after. One goroutine at a time calls it.
func (t *tending) set(issuers map[string]ca.Issuer) {
	select {
	case <-t.next:
	default:
	}
	t.next <- issuers
}

// beside runs while other does; nil is nothing else.
func beside(run func(context.Context), other func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { run(ctx) })
		defer wg.Wait()
		defer cancel()
		if other == nil {
			<-ctx.Done()
			return nil
		}
		return other(ctx)
	}
}

// beside tends while other does; nil is nothing else.
func (t *tending) beside(other func(context.Context) error) func(context.Context) error {
	return beside(t.run, other)
}

func (t *tending) run(ctx context.Context) {
	stop := func() {}
	for {
		select {
		case issuers := <-t.next:
			stop()
			stop = t.begin(ctx, issuers)
		case <-ctx.Done():
			stop()
			return
		}
	}
}

// begin looks after each, and returns what ends that.
func (t *tending) begin(ctx context.Context, issuers map[string]ca.Issuer) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for name, issuer := range issuers {
		wg.Go(func() {
			if c, ok := issuer.(checker); ok {
				if err := c.Check(ctx); err != nil && ctx.Err() == nil {
					t.log.WarnContext(ctx, "an issuer is not well", slog.String("issuer", name), slog.Any("error", err))
				}
			}
			if k, ok := issuer.(keeper); ok {
				k.KeepAlive(ctx)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		for _, issuer := range issuers {
			if c, ok := issuer.(closer); ok {
				c.Close()
			}
		}
	}
}
