package registrar

import (
	"context"
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

// lock waits for the key and returns the function that gives it back.
func (l *keyLocks) lock(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	k := l.held[key]
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
