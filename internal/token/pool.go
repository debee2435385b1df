package token

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Token is one token: its sessions, and what is known about its health.
type Token struct {
	module   *Module
	selector Selector
	limits   Limits
	pin      func() (string, error)
	breaker  breaker
	places   chan struct{} // one for each call that may be under way
	clock    clock         // of signatures

	mu      sync.Mutex
	idle    []*pooled // guarded by mu
	broken  []*pooled // to be closed; guarded by mu
	given   int       // places given up; guarded by mu
	refused string    // the PIN that the token refused; guarded by mu
}

// pooled is a session that is used by one call at a time.
type pooled struct {
	Session
	generation uint64
	handles    map[Object]Handle
}

// Token returns the token that s selects. pin reads its PIN, which source
// names: for the same selector and source there is one Token. limits that are
// zero are those that it has, or the module's; others than it has are an error
// that wraps [ErrLimits].
func (m *Module) Token(s Selector, source string, limits Limits, pin func() (string, error)) (*Token, error) {
	slot := ""
	if s.Slot != nil {
		slot = fmt.Sprint(*s.Slot)
	}
	name := fmt.Sprintf("%q", []string{s.Token, s.Serial, s.Manufacturer, s.Model, slot, source})
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[name]
	if t == nil {
		limits = limits.or(m.limits)
		t = &Token{module: m, selector: s, limits: limits, pin: pin, breaker: breaker{limits: limits}, places: make(chan struct{}, limits.Sessions)}
		m.tokens[name] = t
	}
	if limits.or(t.limits) != t.limits {
		return nil, ErrLimits
	}
	return t, nil
}

// Tokens calls f with each token, in no order.
func (m *Module) Tokens(f func(Selector, *Token)) {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.tokens))
	m.mu.Unlock()
	for _, t := range all {
		f(t.selector, t)
	}
}

// Health says how the token is doing.
func (t *Token) Health() Health {
	var h Health
	t.breaker.mu.Lock()
	h.Usable, h.Failures, h.Last = !t.breaker.open(), t.breaker.failures, t.breaker.last
	t.breaker.mu.Unlock()
	t.mu.Lock()
	h.Sessions = len(t.idle)
	h.Busy = len(t.places) - t.given
	h.Limit = cap(t.places) - t.given
	t.mu.Unlock()
	t.module.mu.Lock()
	h.Hung = t.module.hung
	t.module.mu.Unlock()
	return h
}

// run runs f with a session, and hands what came out to finish, which needs
// none. Where a new session or a new start of the library may help, it tries
// again with that: f is run up to three times.
func run[T any](ctx context.Context, t *Token, f func(*pooled) (T, error), finish func(T) (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if err := t.breaker.enter(); err != nil {
		return none, err
	}
	value, err := tries(ctx, t, f, finish)
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrHung) {
		t.breaker.abandon() // whoever asked went away
		return none, err
	}
	t.breaker.leave(err)
	return value, err
}

func tries[T any](ctx context.Context, t *Token, f func(*pooled) (T, error), finish func(T) (T, error)) (T, error) {
	for again := false; ; {
		generation := t.module.started()
		value, err := once(ctx, t, f)
		if err == nil {
			value, err = finish(value)
		}
		help := against(err)
		switch {
		case err == nil || ctx.Err() != nil:
			return value, err
		case errors.Is(err, errFewer):
			continue
		case help == nothing:
			return value, err
		}
		t.forget()
		if help == restart || again {
			if failed := t.module.start(ctx, generation); failed != nil {
				return value, fmt.Errorf("%w; and starting the library again: %w", err, failed)
			}
			if value, err = once(ctx, t, f); err == nil {
				value, err = finish(value)
			}
			return value, err
		}
		again = true
	}
}

// once runs f with a session of the pool, or with a new one.
func once[T any](ctx context.Context, t *Token, f func(*pooled) (T, error)) (T, error) {
	var none T
	select {
	case t.places <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: its %d sessions are all in use", context.Cause(ctx), cap(t.places))
	}
	given := false // the place, for good
	release := func() {
		if !given {
			<-t.places
		}
	}
	return call(ctx, t.module, release, func(generation uint64) (T, error) {
		s, err := t.take(generation)
		if errors.Is(err, SessionCount) {
			if given = t.shrink(); given {
				return none, fmt.Errorf("%w: %w", errFewer, err)
			}
		}
		if err != nil {
			return none, err
		}
		value, err := f(s)
		if err == nil || against(err) == nothing {
			t.give(s)
		} else {
			_ = s.Close() // it is broken: what closing says adds nothing
		}
		return value, err
	})
}

// errFewer says that the token allows fewer sessions than there are places, and
// that there is one place less now.
var errFewer = errors.New("pkcs11: the token allows no more sessions")

// shrink has the caller give up its place for good, unless no other call is
// under way: then somebody else has the sessions.
func (t *Token) shrink() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.places)-t.given <= 1 {
		return false
	}
	t.given++
	return true
}

// take returns an idle session, or opens one.
func (t *Token) take(generation uint64) (*pooled, error) {
	t.mu.Lock()
	var taken *pooled
	for len(t.idle) > 0 && taken == nil {
		s := t.idle[len(t.idle)-1]
		t.idle = t.idle[:len(t.idle)-1]
		if s.generation == generation { // others ended with the library
			taken = s
		}
	}
	broken := t.broken
	t.broken = nil
	t.mu.Unlock()
	for _, s := range broken {
		if s.generation == generation {
			_ = s.Close() // it is broken: what closing says adds nothing
		}
	}
	if taken != nil {
		return taken, nil
	}
	slot, err := t.module.library.Find(t.selector)
	if err != nil {
		return nil, err
	}
	s, err := t.login(slot)
	if err != nil {
		return nil, err
	}
	return &pooled{Session: s, generation: generation, handles: make(map[Object]Handle)}, nil
}

// login opens a session. A PIN that was refused is not tried again: after some
// tries, often three, a token locks for good.
func (t *Token) login(slot uint) (Session, error) {
	var tried string
	s, err := t.module.library.Open(slot, func() (string, error) {
		pin, err := t.pin()
		if err != nil {
			return "", err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if pin != "" && pin == t.refused {
			return "", fmt.Errorf("%w, which is not tried again; put the right one into the file of pin-source", ErrPIN)
		}
		tried = pin
		return pin, nil
	})
	var c Code
	if errors.As(err, &c) && (c == PINLocked || c == PINExpired) {
		return nil, fmt.Errorf("%w (%w); the token's security officer sets a new one", ErrPIN, c)
	}
	if errors.As(err, &c) && (c == PINIncorrect || c == PINLenRange) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refused = tried
		return nil, fmt.Errorf("%w (%w), and it is not tried again; put the right one into the file of pin-source", ErrPIN, c)
	}
	return s, err
}

func (t *Token) give(s *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, s)
}

// forget has the idle sessions closed by who opens the next one: what broke
// one broke the others too.
func (t *Token) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, t.idle...)
	t.idle = nil
}
