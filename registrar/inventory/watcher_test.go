package inventory_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/briskest/briskest/registrar"
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

func TestAFileStaysWhereTheStoreFailedAndIsTriedAgain(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	full := true
	f.w.Import = func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error) {
		if full {
			return nil, errors.New("the disk is full")
		}
		return h.service.ImportDevices(ctx, r)
	}
	f.put("acme/list.csv", "SN-1\n")
	f.looks(2)
	if !f.has("acme/list.csv") || f.has("acme/failed/list.csv") {
		t.Error("a good file was put away because the store failed")
	}
	full = false
	f.looks(2)
	if !f.has("acme/done/list.csv") || len(h.devices(t)) != 1 {
		t.Error("the file was not tried again once the store worked")
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

// Attack: what stood still is replaced by a pipe or a link between the look and the reading.
func TestAFileThatIsReplacedWhileItIsOpenedIsNotRead(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("SN-666\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, replace := range map[string]func(path string) error{
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link": func(path string) error { return os.Symlink(outside, path) },
	} {
		f.put("acme/"+what+".csv", "SN-1\n")
		info, err := f.root.Lstat("acme/" + what + ".csv")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(f.dir, "acme", what+".csv")
		if err := errors.Join(os.Remove(path), replace(path)); err != nil {
			t.Fatal(err)
		}
		if _, later, err := f.w.RunFile(t.Context(), f.root, "acme", "acme/"+what+".csv", info); err == nil {
			t.Errorf("%s: it was read (tried again: %t)", what, later)
		}
	}
	f.looks(3)
	if got := h.devices(t); len(got) != 0 {
		t.Errorf("on record: %v", got)
	}
}

// Attack: a file without end, whose rows say nothing.
func TestAFileThatIsTooLargeIsPutAwayUnread(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	f.put("acme/large.csv", "SN-1\n")
	f.put("acme/zeros.csv", "")
	for name, size := range map[string]int64{"large.csv": inventory.MaxFile + 1, "zeros.csv": 1 << 30} {
		if err := os.Truncate(filepath.Join(f.dir, "acme", name), size); err != nil { // takes no space
			t.Skip(err)
		}
	}
	f.looks(2)
	for _, name := range []string{"large.csv", "zeros.csv"} {
		if !f.has("acme/failed/" + name) {
			t.Errorf("%s was not put away", name)
		}
	}
	if got := h.devices(t); len(got) != 0 {
		t.Errorf("on record: %v", got)
	}
}

func TestAFileThatChangesWhileItIsImportedStays(t *testing.T) {
	h := newHouse(t)
	f := newWatched(t, h)
	first := true
	f.w.Import = func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error) {
		if first && r.DryRun {
			first = false
			f.put("acme/list.csv", "SN-1\nSN-2\n")
		}
		return h.service.ImportDevices(ctx, r)
	}
	f.put("acme/list.csv", "SN-1\n")
	f.looks(2)
	if !f.has("acme/list.csv") || f.has("acme/failed/list.csv") {
		t.Error("a file that was still being written was put away")
	}
	f.looks(2)
	if !f.has("acme/done/list.csv") || len(h.devices(t)) != 2 {
		t.Errorf("the file was not imported once it stood still: %d devices", len(h.devices(t)))
	}
}

// A domain that is full does not make the registrar try again for ever.
func TestAFileThatThereIsNoRoomForIsPutAway(t *testing.T) {
	h := newHouse(t)
	settings := *h.settings
	settings.Limits.Devices = 1
	if err := h.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	f := newWatched(t, h)
	f.put("acme/list.csv", "SN-1\nSN-2\n")
	f.looks(2)
	text, err := os.ReadFile(filepath.Join(f.dir, "acme/failed/list.csv.report.json"))
	if err != nil || !strings.Contains(string(text), "there is room for 1") || len(h.devices(t)) != 0 {
		t.Errorf("report = %s, %v; %d devices on record", text, err, len(h.devices(t)))
	}
}

func TestAFolderThatIsMissingOrOpenToEverybodyIsNotWatched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{filepath.Join(dir, "missing"), file, open} {
		if err := (&inventory.Watcher{Dir: bad}).Check(); err == nil {
			t.Errorf("Check of %s: nil", bad)
		}
	}
	if err := (&inventory.Watcher{Dir: dir}).Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}
