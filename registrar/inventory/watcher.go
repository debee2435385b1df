package inventory

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/briskest/briskest/registrar"
)

// MaxFile is the most bytes of a file in a watched folder.
const MaxFile = 4 << 30

// DefaultEvery is the time between two looks.
const DefaultEvery = 10 * time.Second

// maxEntries is how many names of a folder one look reads.
const maxEntries = 10_000

const (
	doneFolder   = "done"
	failedFolder = "failed"
	reportSuffix = ".report.json"
)

// Watcher imports the files that somebody puts into a folder: DIR/MANUFACTURER/FILE.
// A file is taken once it has not changed from one look to the next: whoever
// writes one slowly gives it a name that begins with "." or ends in ".part" or
// ".tmp", and renames it. Links, folders and whatever else is no plain file are
// left alone. A file that was imported goes to DIR/MANUFACTURER/done, one that
// could not be to DIR/MANUFACTURER/failed, each with a report beside it. One that
// changes while it is read, or whose import the registrar or its store could not
// finish, stays where it is and is tried again: importing once more changes nothing.
type Watcher struct {
	Dir    string
	Import func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error)
	Domain string
	// Anchors returns who may sign manifests of a manufacturer, nil for nobody.
	Anchors func(manufacturer string) *x509.CertPool
	Log     *slog.Logger
	Every   time.Duration // between two looks; 0 for DefaultEvery
	Now     func() time.Time

	seen map[string]look // of the last time, by path; of the goroutine of Run
}

// look is what a file was like.
type look struct {
	size int64
	at   time.Time
}

// Check tells what keeps the folder from being watched: it is not there, or everybody may
// put devices into it.
func (w *Watcher) Check() error {
	info, err := os.Stat(w.Dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", w.Dir)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("everybody may write into %s, and so bring devices into the inventory; chmod o-w it", w.Dir)
	}
	return nil
}

// Run looks until ctx ends. A folder that is gone is looked for again.
func (w *Watcher) Run(ctx context.Context) {
	every := w.Every
	if every <= 0 {
		every = DefaultEvery
	}
	timer := time.NewTicker(every)
	defer timer.Stop()
	for {
		if root, err := os.OpenRoot(w.Dir); err != nil {
			w.log().ErrorContext(ctx, "watched folder not opened; it is tried again", slog.Any("error", err))
		} else {
			w.Look(ctx, root)
			_ = root.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// Look goes through the folder once and imports what has not changed since the
// last time. Nothing outside of root is ever opened.
func (w *Watcher) Look(ctx context.Context, root *os.Root) {
	now := make(map[string]look)
	for _, maker := range w.entries(ctx, root, ".") {
		if !maker.IsDir() || strings.HasPrefix(maker.Name(), ".") {
			continue
		}
		for _, file := range w.entries(ctx, root, maker.Name()) {
			if ctx.Err() != nil {
				return
			}
			name := path.Join(maker.Name(), file.Name())
			info, err := root.Lstat(name)
			if err != nil || !info.Mode().IsRegular() || unfinished(file.Name()) {
				continue
			}
			now[name] = look{info.Size(), info.ModTime()}
			if before, ok := w.seen[name]; ok && before.size == info.Size() && before.at.Equal(info.ModTime()) {
				w.file(ctx, root, maker.Name(), name, info)
				delete(now, name)
			}
		}
	}
	w.seen = now
}

func unfinished(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, reportSuffix)
}

// entries are some of a folder, sorted by name: all, unless there are too many for one look.
func (w *Watcher) entries(ctx context.Context, root *os.Root, dir string) []fs.DirEntry {
	entries, err := readDir(root, dir)
	if err != nil && !errors.Is(err, io.EOF) {
		w.log().WarnContext(ctx, "watched folder not read", slog.String("folder", dir), slog.Any("error", err))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that took the folder's place has no end
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return f.ReadDir(maxEntries)
}

func (w *Watcher) log() *slog.Logger {
	if w.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return w.Log
}

// file imports one file and puts it away. What a registrar could not do because
// it is about to stop, or its store failed, is tried again at the next look.
func (w *Watcher) file(ctx context.Context, root *os.Root, manufacturer, name string, info fs.FileInfo) {
	report, later, err := w.run(ctx, root, manufacturer, name, info)
	log := w.log().With(slog.String("file", name), slog.Int("rows", report.Rows))
	to := doneFolder
	switch {
	case err == nil:
		log.InfoContext(ctx, "devices imported", slog.Int("added", report.Added), slog.Int("changed", report.Changed))
	case ctx.Err() != nil:
		return
	case later:
		log.ErrorContext(ctx, "file not imported, or not all of it; it stays where it is and is tried again", slog.Any("error", err))
		return
	default:
		to = failedFolder
		log.WarnContext(ctx, "file not imported", slog.Any("error", err))
	}
	if err := putAway(root, manufacturer, path.Base(name), to, report, err); err != nil {
		log.ErrorContext(ctx, "file not put away; it will be imported once more, which changes nothing", slog.Any("error", err))
	}
}

// run imports a file. Later says that it did not fail because of the file.
func (w *Watcher) run(ctx context.Context, root *os.Root, manufacturer, name string, info fs.FileInfo) (report *Report, later bool, err error) {
	empty := &Report{File: path.Base(name)}
	if info.Size() > MaxFile {
		return empty, false, fmt.Errorf("%d bytes; at most %d are taken: divide it", info.Size(), int64(MaxFile))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that took the file's place has no end
	if err != nil {
		return empty, false, err
	}
	defer func() { _ = f.Close() }()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return empty, true, errors.Join(ErrChanged, err)
	}
	im := &Importer{Domain: w.Domain, Actor: "folder", Manufacturer: manufacturer, Now: w.Now}
	im.Import = func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error) {
		result, err := w.Import(ctx, r)
		later = later || err != nil && !mendable(err)
		return result, err
	}
	if w.Anchors != nil {
		im.Anchors = w.Anchors(manufacturer)
	}
	report, err = im.Run(ctx, f, path.Base(name))
	return report, later || errors.Is(err, ErrChanged), err
}

// mendable tells whether somebody has to do something about the file, or the registrar's
// settings, before it can be imported.
func mendable(err error) bool {
	return errors.Is(err, registrar.ErrInvalid) || errors.Is(err, registrar.ErrNotFound) || errors.Is(err, registrar.ErrFull)
}

// putAway moves a file into a folder beside it, under a name that is free there,
// and writes the report.
func putAway(root *os.Root, manufacturer, name, to string, report *Report, failure error) error {
	folder := path.Join(manufacturer, to)
	if err := root.Mkdir(folder, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	target := path.Join(folder, name)
	for n := 2; ; n++ {
		if _, err := root.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		target = path.Join(folder, fmt.Sprintf("%d-%s", n, name))
	}
	out := struct {
		*Report
		Error string `json:"error,omitempty"`
	}{Report: report}
	if failure != nil {
		out.Error = failure.Error()
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if err := root.WriteFile(target+reportSuffix, append(text, '\n'), 0o640); err != nil {
		return err
	}
	return root.Rename(path.Join(manufacturer, name), target)
}
