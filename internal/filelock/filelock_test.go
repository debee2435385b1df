package filelock_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/filelock"
)

func TestALockIsHeldByOneUntilItIsReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := filelock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Take(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("Take of one that is held = %v, want ErrHeld", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := filelock.Take(path)
	if err != nil {
		t.Fatalf("Take of one that was released = %v", err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	if _, err := filelock.Take(filepath.Join(path, "no", "folder")); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("Take where no file can be = %v", err)
	}
}
