package joinproxy

import (
	"context"
	"errors"

	"github.com/briskest/briskest/brski/discovery"
)

// Discovered returns where the registrars are that q knows: a [Proxy]'s Registrars.
func Discovered(q *discovery.Querier) func() []string {
	return func() []string {
		var all []string
		for _, c := range q.Candidates() {
			for _, e := range c.Endpoints() {
				all = append(all, e.String())
			}
		}
		return all
	}
}

// AnnounceWhile keeps running, as by the Run of a [discovery.Responder], while q
// knows a registrar, until ctx ends: a proxy that has nowhere to connect to is not
// announced (RFC 8995, Section 4.1.1). run gets a context that ends when the last one
// is gone. It returns run's first error.
func AnnounceWhile(ctx context.Context, q *discovery.Querier, run func(context.Context) error) error {
	for ctx.Err() == nil {
		if !waitFor(ctx, q, true) {
			return nil
		}
		running, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- run(running); stop() }()
		waitFor(running, q, false)
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// waitFor waits until q knows some registrar, or none; false: ctx ended before.
func waitFor(ctx context.Context, q *discovery.Querier, some bool) bool {
	for {
		changed := q.Changed()
		if (len(q.Candidates()) != 0) == some {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
