// Package filelock keeps two processes from one file's affairs. [Take] never
// waits; the lock ends with the process that holds it.
package filelock

import (
	"errors"
	"os"
)

// ErrHeld says that somebody else holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// Lock is one that is held.
type Lock struct{ f *os.File }

// Take locks the file at path, which is made when it is not there. An error
// wraps [ErrHeld] when somebody holds it: another process, or this one by
// another Lock. Where the system has no flock, nobody is ever told so.
func Take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	if err := try(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

// Release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func (l *Lock) Release() error { return l.f.Close() }
