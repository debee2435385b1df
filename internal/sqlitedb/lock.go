package sqlitedb

import (
	"errors"
	"fmt"
	"os"
)

// ErrLocked says that another process has the database open.
var ErrLocked = errors.New("another process has the database open; the server is running? " +
	"hint: ask the running server, or stop it first")

var errHeld = errors.New("held")

// fileLock is a lock that ends with the process that holds it.
type fileLock struct{ f *os.File }

func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("database lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errHeld) {
			return nil, fmt.Errorf("%w (%s)", ErrLocked, path)
		}
		return nil, fmt.Errorf("database lock %s: %w", path, err)
	}
	return &fileLock{f}, nil
}

// release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func (l *fileLock) release() error { return l.f.Close() }
