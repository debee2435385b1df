package sqlitedb

import (
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/filelock"
)

// ErrLocked says that another process has the database open.
var ErrLocked = errors.New("another process has the database open; the server is running? " +
	"hint: ask the running server, or stop it first")

// lockFile takes a database's lock. Without flock SQLite's own locks keep the
// file whole, but two servers on one database are not told apart.
func lockFile(path string) (*filelock.Lock, error) {
	lock, err := filelock.Take(path)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("%w (%s)", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("database lock %s: %w", path, err)
	}
	return lock, nil
}
