//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sqlitedb

import (
	"errors"
	"os"
	"syscall"
)

func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // descriptors fit an int
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}
