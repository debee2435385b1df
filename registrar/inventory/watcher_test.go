package inventory_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/registrar/inventory"
)

// watched is a folder with a watcher.
type watched struct {
	t    *testing.T
	dir  string
	root *os.Root
	w    *inventory.Watcher
}

func newWatched(t *testing.T, h *house) *watched {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return &watched{t, dir, root, &inventory.Watcher{Dir: dir, Import: h.service.ImportDevices}}
}

func (f *watched) put(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *watched) has(name string) bool {
	_, err := os.Lstat(filepath.Join(f.dir, name))
	return err == nil
}

func (f *watched) looks(n int) {
	for range n {
		f.w.Look(f.t.Context(), f.root)
	}
}

// M25: what is put into the folder is imported, and put away with a report.
func TestAFileInTheFolderIsImportedOnceItStandsStill(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	f.put("acme/list.csv", "SN-1\n")
	f.looks(1)
	if len(h.devices(t)) != 0 {
		t.Error("a file was imported at the first look: it may be half written")
	}
	f.put("acme/list.csv", "SN-1\nSN-2\n") // still being written
	f.looks(1)
	if len(h.devices(t)) != 0 {
		t.Error("a file was imported that had just changed")
	}
	f.looks(1)
	if len(h.devices(t)) != 2 || f.has("acme/list.csv") || !f.has("acme/done/list.csv") {
		t.Errorf("%d devices on record; the file is where it was: %t", len(h.devices(t)), f.has("acme/list.csv"))
	}
	text, err := os.ReadFile(filepath.Join(f.dir, "acme/done/list.csv.report.json"))
	var report inventory.Report
	if err != nil || json.Unmarshal(text, &report) != nil || report.Added != 2 {
		t.Errorf("report = %s, %v", text, err)
	}
	f.put("acme/list.csv", "SN-3\n")
	f.looks(2)
	if !f.has("acme/done/2-list.csv") || len(h.devices(t)) != 3 {
		t.Error("a second file of the same name was not imported beside the first")
	}
}

func TestAFileWithAProblemIsPutAwayAsFailed(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	f.put("acme/list.csv", "SN-1\nSN-1\n")
	f.put("nobody/list.csv", "SN-1\n")
	f.looks(2)
	text, err := os.ReadFile(filepath.Join(f.dir, "acme/failed/list.csv.report.json"))
	if err != nil || !strings.Contains(string(text), "is there twice") || !f.has("acme/failed/list.csv") || len(h.devices(t)) != 0 {
		t.Errorf("report = %s, %v", text, err)
	}
	if !f.has("nobody/failed/list.csv") {
		t.Error("a file of an unknown manufacturer was not put away")
	}
}

// Links lead out of the folder, and pipes have no end.
func TestWhatIsNoPlainFileIsLeftAlone(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.csv"), []byte("SN-666\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.put("acme/.list.csv", "SN-1\n")
	f.put("acme/list.csv.part", "SN-2\n")
	f.put("acme/list.tmp", "SN-3\n")
	f.put("list.csv", "SN-4\n")
	f.put("acme/deep/list.csv", "SN-5\n")
	for from, to := range map[string]string{
		"acme/link.csv": filepath.Join(outside, "secret.csv"), "acme/up.csv": "../list.csv", "linked": outside, "acme/self": "self",
	} {
		if err := os.Symlink(to, filepath.Join(f.dir, from)); err != nil {
			t.Skip(err)
		}
	}
	f.looks(3)
	if got := h.devices(t); len(got) != 0 {
		t.Errorf("on record: %v", got)
	}
	if !f.has("acme/link.csv") || !f.has("acme/.list.csv") {
		t.Error("something was moved")
	}
	// The place for what was imported is a link.
	f.put("acme/good.csv", "SN-7\n")
	if err := os.Symlink(outside, filepath.Join(f.dir, "acme/done")); err != nil {
		t.Skip(err)
	}
	f.looks(2)
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside of the folder there is %v, %v", left, err)
	}
}
