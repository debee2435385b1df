package masa

import "sync"

// deviceLocks lets one issuance at a time work on a device, so that the same
// request sent twice at once is signed once. What holds between processes are
// the store's conflicts.
type deviceLocks struct {
	mu   sync.Mutex
	held map[string]*deviceLock // by serial number; guarded by mu
}

type deviceLock struct {
	sync.Mutex
	users int // guarded by deviceLocks.mu
}

// lock waits for the device and returns what ends the lock.
func (l *deviceLocks) lock(serialNumber string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*deviceLock)
	}
	d := l.held[serialNumber]
	if d == nil {
		d = &deviceLock{}
		l.held[serialNumber] = d
	}
	d.users++
	l.mu.Unlock()
	d.Lock()
	return func() {
		d.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if d.users--; d.users == 0 {
			delete(l.held, serialNumber)
		}
	}
}

// lockDevice lets the caller alone work on the devices with that serial number.
// A device that is not on record yet has no ID to lock.
func (s *Service) lockDevice(serialNumber string) (unlock func()) {
	s.imports.RLock()
	unlockDevice := s.locks.lock(serialNumber)
	return func() {
		unlockDevice()
		s.imports.RUnlock()
	}
}
