package token

import (
	"context"
	"fmt"
	"sync"
)

// Module is a library and everything under way in it. There is one for each
// library of a process: C_Initialize and C_Finalize are about all of it.
type Module struct {
	library Library
	limits  Limits

	mu         sync.Mutex
	tokens     map[string]*Token // by selector and PIN's place; guarded by mu
	generation uint64            // how often the library was started; 0 before; guarded by mu
	up         bool              // started, and not found broken since; guarded by mu
	active     int               // calls under way; guarded by mu
	hung       int               // of them, those that nobody waits for any more; guarded by mu
	starting   chan struct{}     // closed when the start under way is over; guarded by mu
	quiet      chan struct{}     // closed when no call is under way; made by who waits for it; guarded by mu
}

// NewModule returns a module that is started by its first call.
func NewModule(library Library, limits Limits) *Module {
	return &Module{library: library, limits: limits.filled(), tokens: make(map[string]*Token)}
}

// answer is what a call came to.
type answer[T any] struct {
	value T
	err   error
}

// call runs f in the library, started if need be, and waits for it as long
// as ctx allows. f gets the number of the library's start, and goes on to its
// end even when nobody waits: it must give back itself what it holds. release
// is called when f is over, or is not going to run.
func call[T any](ctx context.Context, m *Module, release func(), f func(generation uint64) (T, error)) (T, error) {
	var none T
	generation, err := m.enter(ctx)
	if err != nil {
		release()
		return none, err
	}
	done := make(chan answer[T], 1)
	go func() {
		value, err := f(generation)
		m.leave()
		release()
		done <- answer[T]{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case a := <-done: // just now
		return a.value, a.err
	default:
		m.hung++
		go m.mourn(func() { <-done })
		return none, context.Cause(ctx)
	}
}

// mourn waits for a call that nobody else waits for.
func (m *Module) mourn(wait func()) {
	wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung--
}

// enter waits until the library is up and counts a call.
func (m *Module) enter(ctx context.Context) (uint64, error) {
	for {
		m.mu.Lock()
		if m.starting == nil && m.up {
			m.active++
			defer m.mu.Unlock()
			return m.generation, nil
		}
		starting, generation := m.starting, m.generation
		m.mu.Unlock()
		if starting == nil {
			if err := m.start(ctx, generation); err != nil {
				return 0, err
			}
			continue
		}
		select {
		case <-starting:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (m *Module) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active--
	if m.active == 0 && m.quiet != nil {
		close(m.quiet)
		m.quiet = nil
	}
}

// start starts the library again, unless that happened since generation. It
// waits for the calls under way; while one of them hangs it refuses, for
// C_Finalize must not run beside it.
func (m *Module) start(ctx context.Context, generation uint64) error {
	m.mu.Lock()
	switch {
	case m.starting != nil:
		starting := m.starting
		m.mu.Unlock()
		select {
		case <-starting:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case m.generation != generation:
		m.mu.Unlock()
		return nil
	case m.hung > 0:
		defer m.mu.Unlock()
		return fmt.Errorf("%w: %d calls hang, and the library cannot be started again under them; restart the token's daemon or this program", ErrHung, m.hung)
	}
	over := make(chan struct{})
	m.starting = over
	if err := m.silence(ctx); err != nil {
		m.starting = nil
		close(over)
		m.mu.Unlock()
		return err
	}
	first := m.generation == 0
	m.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- m.restart(first, over) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// silence waits until no call is under way. It is called with mu held, and
// returns with mu held.
func (m *Module) silence(ctx context.Context) error {
	for m.active > 0 {
		if m.quiet == nil {
			m.quiet = make(chan struct{})
		}
		quiet := m.quiet
		m.mu.Unlock()
		select {
		case <-quiet:
			m.mu.Lock()
		case <-ctx.Done():
			m.mu.Lock()
			return context.Cause(ctx)
		}
	}
	return nil
}

// restart ends the library and starts it. No call runs beside it.
func (m *Module) restart(first bool, over chan struct{}) error {
	if !first {
		// It fails where there is nothing to end, and Initialize says the rest.
		_ = m.library.Finalize()
	}
	err := m.library.Initialize()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	m.up = err == nil
	m.starting = nil
	close(over)
	return err
}

// started returns how often the library was started.
func (m *Module) started() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}
