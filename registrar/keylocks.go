package registrar

import (
	"context"
	"errors"
	"sync"
)

// keyLocks is a lock for each key that is in use.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock // guarded by mu
}

type keyLock struct {
	token chan struct{} // holds one value while nobody has the lock
	users int           // holders and waiters; guarded by keyLocks.mu
}

// errCrowded says that too many wait for a key.
var errCrowded = errors.New("too many requests wait for the same device")

// lock waits for the key and returns the function that gives it back.
func (l *keyLocks) lock(ctx context.Context, key string) (func(), error) {
	return l.lockAmong(ctx, key, 0)
}

// lockAmong is lock, but errCrowded when limit others have the key or wait for
// it; 0 for no limit.
func (l *keyLocks) lockAmong(ctx context.Context, key string, limit int) (func(), error) {
	l.mu.Lock()
	k := l.held[key]
	if k != nil && limit > 0 && k.users >= limit {
		l.mu.Unlock()
		return nil, errCrowded
	}
	if k == nil {
		k = &keyLock{token: make(chan struct{}, 1)}
		k.token <- struct{}{}
		if l.held == nil {
			l.held = make(map[string]*keyLock)
		}
		l.held[key] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case <-k.token:
		return func() { k.token <- struct{}{}; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, context.Cause(ctx)
	}
}

func (l *keyLocks) leave(key string, k *keyLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, key)
	}
}

// deviceKey is what a device is locked and budgeted by.
func deviceKey(manufacturer, serialNumber string) string { return manufacturer + "\x00" + serialNumber }

// keySet holds keys, each once.
type keySet struct {
	mu   sync.Mutex
	held map[string]bool // guarded by mu
}

// take adds a key, unless it is there.
func (k *keySet) take(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[key] {
		return false
	}
	if k.held == nil {
		k.held = make(map[string]bool)
	}
	k.held[key] = true
	return true
}

func (k *keySet) leave(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, key)
}
