package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/cli"
)

func TestAFolderThatEverybodyWritesToIsRefused(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // the fault that is tested
		t.Fatal(err)
	}
	if err := folder(open).make("registrar"); cli.Code(err) != cli.ExitUsage {
		t.Errorf("make in a folder of mode 0777: %v, want a refusal", err)
	}
	if err := folder(filepath.Join(open, "own")).make("registrar"); err != nil {
		t.Errorf("make of a new folder: %v", err)
	}
}
