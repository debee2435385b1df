package inventory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/internal/rows"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// MaxRows is the most rows of one file: while it is imported, 40 bytes of memory
// each tell which serial numbers were there.
const MaxRows = 10_000_000

// MaxProblems is how many problems a report names; all are counted.
const MaxProblems = 100

// ErrProblems says that rows have problems and that nothing was imported.
var ErrProblems = errors.New("nothing was imported")

// ErrManifest says that a manifest cannot be taken: of who signed it, or what it says.
var ErrManifest = errors.New("the manifest is not taken")

// ErrChanged says that a file was not the same the second time.
var ErrChanged = errors.New("the file changed while it was read")

// Importer imports files of devices of one manufacturer.
type Importer struct {
	// Import is registrar.Service.ImportDevices, or what calls it.
	Import       func(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error)
	Domain       string
	Actor        string
	Manufacturer string
	Owner        *string // of devices whose row names none; nil for as it was
	Owners       bool    // a CSV file without a heading has the owner after the serial number
	DryRun       bool    // check only
	// Anchors are of the certificates that manifests are signed with; nil takes none.
	Anchors *x509.CertPool
	// Progress, unless nil, is called after every batch.
	Progress func(Progress)
	Now      func() time.Time // nil for time.Now
}

// Progress is how far an import is.
type Progress struct {
	Checking bool
	Rows     int // so far
	Of       int // 0 while it is not known
}

// Report says what an import did, or would do.
type Report struct {
	File     string    `json:"file"`
	SHA256   string    `json:"sha256"`
	Format   string    `json:"format"`
	Signer   string    `json:"signer,omitempty"` // of a manifest: SHA-256 of its certificate
	DryRun   bool      `json:"dry_run,omitempty"`
	Rows     int       `json:"rows"`
	Added    int       `json:"added"`
	Changed  int       `json:"changed"`
	Known    int       `json:"known"`
	Given    int       `json:"given,omitempty"` // have another owner now, at a cloud registrar
	Batches  int       `json:"batches"`
	Bad      int       `json:"bad,omitempty"`      // rows with problems
	Problems []Problem `json:"problems,omitempty"` // the first of them
}

// Problem is what is wrong with a row.
type Problem struct {
	Line         int    `json:"line"` // where it begins, from 1; of a manifest the device
	SerialNumber string `json:"serial_number,omitempty"`
	Text         string `json:"text"`
}

// Run imports a file: all, or nothing when a row has a problem, and then the
// error wraps [ErrProblems]. A failure of the store leaves the batches that went
// before on record, as Report.Rows says; the same file can be imported again. In
// is read twice; its name is for the record.
func (im *Importer) Run(ctx context.Context, in io.ReadSeeker, name string) (*Report, error) {
	run := &run{im: im, report: &Report{File: filepath.Base(name), DryRun: im.DryRun}, seen: make(map[[16]byte]struct{})}
	if err := run.pass(ctx, in, true); err != nil {
		return run.report, err
	}
	checked := *run.report
	switch {
	case checked.Bad > 0:
		return &checked, fmt.Errorf("%w: %d of %d rows have problems", ErrProblems, checked.Bad, checked.Rows)
	case checked.Rows == 0:
		return &checked, fmt.Errorf("%w: there is no row in the file", ErrProblems)
	case run.room != nil && checked.Added > *run.room:
		return &checked, fmt.Errorf("nothing was imported: %d devices would be new, and there is room for %d: %w", checked.Added, *run.room, registrar.ErrFull)
	case im.DryRun:
		return &checked, nil
	}
	run.seen, run.of = nil, checked.Rows
	run.report = &Report{File: checked.File, SHA256: checked.SHA256, Format: checked.Format, Signer: checked.Signer}
	err := run.pass(ctx, in, false)
	return run.report, err
}

// run is one import under way.
type run struct {
	im       *Importer
	report   *Report
	seen     map[[16]byte]struct{} // serial numbers, by the start of their SHA-256
	batches  []checkedBatch        // of the first pass
	checking bool
	of       int
	room     *int     // for new devices; nil for any number
	sum      [32]byte // of the file
}

// checkedBatch is what the first pass found of a batch.
type checkedBatch struct {
	root    [32]byte
	checked []byte // registrar.ImportResult.Checked
}

// batch is what is gathered.
type batch struct {
	devices  []registrar.ImportDevice
	lines    []int
	problems []Problem // of rows that are not among the devices
	edge     trail.Edge
	root     [32]byte
	leaves   int // of edge
	first    int // row, from 1
	err      error
}

// pass goes through the file once: batches are made while the registrar is busy
// with the one before.
func (r *run) pass(ctx context.Context, in io.ReadSeeker, checking bool) error {
	r.checking = checking
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	source, err := r.im.source(in, r.report)
	if err != nil {
		return err
	}
	g := &gathering{im: r.im, source: source, format: r.report.Format, seen: r.seen}
	made := make(chan *batch, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { g.run(ctx, made) })
	defer wg.Wait() // the file is the caller's again
	defer cancel(nil)
	n := 0
	for b := range made {
		if b.err != nil {
			return b.err
		}
		if err := r.send(ctx, b, n); err != nil {
			return err
		}
		n++
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.finish(source.sum(), n)
}

// finish notes, or compares, the whole file.
func (r *run) finish(sum [32]byte, batches int) error {
	if r.checking {
		r.sum, r.report.SHA256 = sum, fmt.Sprintf("%x", sum)
		return nil
	}
	if sum != r.sum || batches != len(r.batches) {
		return fmt.Errorf("%w: %d rows, as they were at first, are on record", ErrChanged, r.report.Rows)
	}
	return nil
}

func (r *run) problem(p Problem) {
	r.report.Bad++
	if len(r.report.Problems) < MaxProblems {
		r.report.Problems = append(r.report.Problems, Problem{p.Line, clip(p.SerialNumber), clip(p.Text)})
	}
}

func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:most]), nil)) + "..."
}

// send has the registrar check, or import, a batch.
func (r *run) send(ctx context.Context, b *batch, n int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	root := b.root
	r.report.Rows += b.leaves
	for _, p := range b.problems {
		r.problem(p)
	}
	request := &registrar.ImportRequest{
		Domain: r.im.Domain, Actor: r.im.Actor, Manufacturer: r.im.Manufacturer, Devices: b.devices, DryRun: r.checking,
	}
	if r.checking {
		r.batches = append(r.batches, checkedBatch{root: root})
		if len(b.devices) == 0 {
			return nil
		}
	} else {
		if n >= len(r.batches) || r.batches[n].root != root || len(b.devices) != b.leaves {
			return fmt.Errorf("%w: %d rows, as they were at first, are on record", ErrChanged, b.first-1)
		}
		request.Checked = r.batches[n].checked
		request.Origin = &registrar.ImportOrigin{
			File: r.report.File, Format: r.report.Format, SHA256: r.sum, Rows: root, First: b.first, Count: len(b.devices), Signer: r.report.Signer,
		}
	}
	result, err := r.im.Import(ctx, request)
	if result != nil && len(result.Problems) > 0 {
		for _, p := range result.Problems {
			r.problem(Problem{b.lines[p.Index], p.SerialNumber, p.Text})
		}
		if r.checking {
			return nil
		}
		return fmt.Errorf("rows %d to %d were not imported, those before are: %d have problems now", b.first, r.report.Rows, len(result.Problems))
	}
	if err != nil {
		return fmt.Errorf("rows %d to %d: %w", b.first, r.report.Rows, err)
	}
	if r.checking {
		r.batches[n].checked, r.room = result.Checked, result.Room
	}
	r.report.Batches++
	r.report.Added += result.Added
	r.report.Changed += result.Changed
	r.report.Known += result.Known
	r.report.Given += result.Given
	if r.im.Progress != nil {
		r.im.Progress(Progress{Checking: r.checking, Rows: r.report.Rows, Of: r.of})
	}
	return nil
}

// source is where rows come from.
type source struct {
	reader *rows.Reader
	hash   hash.Hash // of the whole file, once the last row was read
}

func (s *source) next() (*rows.Row, error) { return s.reader.Next() }

// sum is the SHA-256 of the file; its rows were all read.
func (s *source) sum() [32]byte { return [32]byte(s.hash.Sum(nil)) }

// source looks what the file is.
func (im *Importer) source(in io.Reader, report *Report) (*source, error) {
	s := &source{hash: sha256.New()}
	start := make([]byte, 512)
	n, err := io.ReadFull(in, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	start = start[:n]
	whole := io.TeeReader(io.MultiReader(bytes.NewReader(start), in), s.hash)
	report.Format = format(start)
	if report.Format == Manifest {
		list, signer, err := im.manifest(whole)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrManifest, err)
		}
		report.Signer, whole = signer, bytes.NewReader(list)
	}
	headless := []string{columnSerial}
	if im.Owners {
		headless = append(headless, columnOwner)
	}
	s.reader, err = rows.NewReader(whole, Columns(), columnIDevID, headless...)
	return s, err
}

// The formats of files.
const (
	CSV       = "csv"
	JSONLines = "jsonl"
	PEM       = "pem"
	Manifest  = "manifest"
)

func format(start []byte) string {
	signed := manifest.Is(start)
	start = bytes.TrimSpace(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")))
	switch {
	case signed:
		return Manifest
	case bytes.HasPrefix(start, []byte("-----BEGIN")):
		return PEM
	case !bytes.HasPrefix(start, []byte("{")):
		return CSV
	}
	return JSONLines
}
