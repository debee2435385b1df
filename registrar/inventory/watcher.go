package inventory

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/registrar"
)

// MaxFile is the most bytes of a file in a watched folder.
const MaxFile = 4 << 30

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
// could not be to DIR/MANUFACTURER/failed, each with a report beside it.
type Watcher struct {
	Dir    string
	Import func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error)
	Domain string
	// Anchors returns who may sign manifests of a manufacturer, nil for nobody.
	Anchors func(manufacturer string) *x509.CertPool
	Log     *slog.Logger
	Every   time.Duration // between two looks; 0 for 10 seconds
	Now     func() time.Time

	seen map[string]look // of the last time, by path; of the goroutine of Run
}

// look is what a file was like.
type look struct {
	size int64
	at   time.Time
}

// Run looks until ctx ends. It fails only if the folder cannot be opened.
func (w *Watcher) Run(ctx context.Context) error {
	every := w.Every
	if every <= 0 {
		every = 10 * time.Second
	}
	root, err := os.OpenRoot(w.Dir)
	if err != nil {
		return fmt.Errorf("watched folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	timer := time.NewTicker(every)
	defer timer.Stop()
	for {
		w.Look(ctx, root)
		select {
		case <-ctx.Done():
			return nil
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

// entries are sorted by name.
func (w *Watcher) entries(ctx context.Context, root *os.Root, dir string) []fs.DirEntry {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		w.log().WarnContext(ctx, "watched folder not read", slog.String("folder", dir), slog.Any("error", err))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
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
	report, err := w.run(ctx, root, manufacturer, name, info)
	log := w.log().With(slog.String("file", name), slog.Int("rows", report.Rows))
	to := doneFolder
	switch {
	case err == nil:
		log.InfoContext(ctx, "devices imported", slog.Int("added", report.Added), slog.Int("changed", report.Changed))
	case ctx.Err() != nil:
		return
	default:
		to = failedFolder
		log.WarnContext(ctx, "file not imported", slog.Any("error", err))
	}
	if err := putAway(root, manufacturer, path.Base(name), to, report, err); err != nil {
		log.ErrorContext(ctx, "file not put away; it will be imported once more, which changes nothing", slog.Any("error", err))
	}
}

func (w *Watcher) run(ctx context.Context, root *os.Root, manufacturer, name string, info fs.FileInfo) (*Report, error) {
	empty := &Report{File: path.Base(name)}
	if info.Size() > MaxFile {
		return empty, fmt.Errorf("%d bytes; at most %d are taken: divide it", info.Size(), int64(MaxFile))
	}
	f, err := root.Open(name)
	if err != nil {
		return empty, err
	}
	defer func() { _ = f.Close() }()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return empty, errors.Join(ErrChanged, err)
	}
	im := &Importer{Import: w.Import, Domain: w.Domain, Actor: "folder", Manufacturer: manufacturer, Now: w.Now}
	if w.Anchors != nil {
		im.Anchors = w.Anchors(manufacturer)
	}
	return im.Run(ctx, f, path.Base(name))
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
