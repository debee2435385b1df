package pledge_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
)

func TestDirHoldsTheFilesOfAnOnboarding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pledge")
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) { c.State = pledge.Dir(path) })
	d.onboard()
	for name, mode := range map[string]fs.FileMode{
		pledge.FileRequest: 0o644, pledge.FileVoucher: 0o644, pledge.FileCACerts: 0o644, pledge.FileLDevID: 0o644,
		pledge.FileKey: 0o600, pledge.FileState: 0o600,
	} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if info.Mode().Perm() != mode || info.Size() == 0 {
			t.Errorf("%s has mode %v and %d bytes, want %v", name, info.Mode().Perm(), info.Size(), mode)
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 6 {
		t.Errorf("ReadDir = %v, %v; want the six files and nothing temporary", entries, err)
	}
	if _, err := d.pledge().Renew(t.Context()); err != nil {
		t.Errorf("Renew: %v", err)
	}
}

func TestDirReplacesWholeFiles(t *testing.T) {
	s := pledge.Dir(t.TempDir())
	if _, err := s.Load("a.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing = %v, want fs.ErrNotExist", err)
	}
	for _, text := range []string{"first, longer", "second"} {
		if err := s.Save("a.pem", []byte(text)); err != nil {
			t.Fatalf("Save: %v", err)
		}
		if data, err := s.Load("a.pem"); err != nil || string(data) != text {
			t.Errorf("Load = %q, %v, want %q", data, err, text)
		}
	}
	for range 2 {
		if err := s.Remove("a.pem"); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
}

func TestDirTakesNamesOnly(t *testing.T) {
	s := pledge.Dir(t.TempDir())
	for _, name := range []string{"", ".", "..", "../a", "a/b", ".hidden", "/etc/passwd"} {
		if err := s.Save(name, []byte("x")); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Save(%q) = %v, want fs.ErrInvalid", name, err)
		}
		if _, err := s.Load(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Load(%q) = %v, want fs.ErrInvalid", name, err)
		}
	}
}

func TestStorageThatFailsEndsTheRun(t *testing.T) {
	w := brskitest.New(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, w, func(c *pledge.Config) { c.State = pledge.Dir(filepath.Join(file, "below")) })
	_, err := d.pledge().Onboard(t.Context())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonStorage {
		t.Errorf("Onboard = %v, want reason %q", err, pledge.ReasonStorage)
	}
	if n := len(w.Registrar.Requests()); n != 0 {
		t.Errorf("%d voucher-requests were sent, want none before one is stored", n)
	}
}
