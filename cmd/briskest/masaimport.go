package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/rows"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaImportCmd struct {
	masaData
	Product string `required:"" help:"Product line, as in the configuration."`
	File    string `arg:"" help:"CSV with a heading, or JSON lines, of serial_number, idevid (PEM or base64), key_sha256 (hex), batch, built (a day); or serial numbers, one a line; or PEM IDevIDs; - for standard input."`
	Batch   string `help:"Name of the batch of rows that name none."`
	DryRun  bool   `help:"Check everything, and change nothing."`
	output
}

// importResult is what an import prints.
type importResult struct {
	Rows      int `json:"rows"`
	Added     int `json:"added"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

func deviceColumns() []string {
	return []string{"serial_number", "idevid", "key_sha256", "batch", "built"}
}

// Run checks the whole file, and then imports it.
func (c *masaImportCmd) Run(ctx context.Context, s streams) error {
	list := &listImport[masa.ImportDevice]{
		file: c.File, columns: deviceColumns(), pem: "idevid", dryRun: c.DryRun, parse: importDevice,
	}
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		list.send = func(part []masa.ImportDevice, dryRun bool) (*masa.ImportReport, error) {
			return op.ImportDevices(ctx, &masa.Import{Product: c.Product, Batch: c.Batch, Devices: part, DryRun: dryRun, By: actor()})
		}
		return list.run(s, c.Format)
	})
}

func importDevice(row *rows.Row) (masa.ImportDevice, error) {
	d := masa.ImportDevice{SerialNumber: row.Fields["serial_number"], Batch: row.Fields["batch"]}
	var err error
	if text := row.Fields["idevid"]; text != "" {
		if d.IDevID, err = certificateText(text); err != nil {
			return d, fmt.Errorf("idevid: %w", err)
		}
	}
	if d.KeyHash, err = hexText(row.Fields["key_sha256"]); err != nil {
		return d, fmt.Errorf("key_sha256: %w", err)
	}
	if d.BuiltAt, err = dayText(row.Fields["built"]); err != nil {
		return d, fmt.Errorf("built: %w", err)
	}
	return d, nil
}

// certificateText reads a certificate as PEM, or as the base64 of its DER.
func certificateText(text string) ([]byte, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("neither a PEM certificate nor the base64 of one")
	}
	return der, nil
}

// hexText reads hex digits, with or without colons between the bytes.
func hexText(text string) ([]byte, error) {
	data, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil {
		return nil, errors.New("not hexadecimal; base64, as lists print hashes, is to be written in hex")
	}
	return data, nil
}

// dayText reads a day, or a time as RFC 3339, Section 5.6 has it.
func dayText(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day such as 2026-05-01 nor a time such as 2026-05-01T08:00:00Z", text)
}

// listImport imports a list of any length: first the whole file is checked,
// and only a file without problems is imported, in parts that are all or nothing.
type listImport[T any] struct {
	file    string
	columns []string
	pem     string // column; see rows.NewReader
	dryRun  bool
	parse   func(*rows.Row) (T, error)
	send    func(part []T, dryRun bool) (*masa.ImportReport, error)

	in       *os.File
	problems int // found so far
	progress progress
}

// maxProblems is how many problems an import names.
const maxProblems = 20

func (l *listImport[T]) run(s streams, format string) error {
	done, err := l.open(s.In)
	if err != nil {
		return err
	}
	defer done()
	l.progress = newProgress(s.Err)
	checked, err := l.pass(s, true)
	switch {
	case err != nil:
		return err
	case l.problems > 0:
		return fmt.Errorf("nothing was imported: %d of %d rows have problems", l.problems, checked.Rows)
	case checked.Rows == 0:
		return fmt.Errorf("%s: no row in it", l.file)
	case l.dryRun:
		return cli.PrintOne(s.Out, format, *checked)
	}
	l.progress.total = checked.Rows
	total, err := l.pass(s, false)
	if err != nil {
		return cli.Hint(err, "%d rows, from the start of the list, are on record and the others are not; "+
			"when this is mended, import the whole list again: what is on record stays as it is", total.Rows)
	}
	return cli.PrintOne(s.Out, format, *total)
}

// open opens the file. Standard input can be read only once, so it is kept in
// a temporary file meanwhile.
func (l *listImport[T]) open(stdin io.Reader) (done func(), err error) {
	if l.file != "-" {
		l.in, err = os.Open(l.file)
		if err != nil {
			return nil, cli.Usage("%w", err)
		}
		return func() { discard(l.in.Close) }, nil
	}
	if l.in, err = os.CreateTemp("", "briskest-import-*"); err != nil {
		return nil, err
	}
	done = func() {
		discard(l.in.Close)
		discard(func() error { return os.Remove(l.in.Name()) })
	}
	if _, err := io.Copy(l.in, stdin); err != nil {
		done()
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return done, nil
}

// pass sends the whole file once. The result counts the rows of the parts that
// went well.
func (l *listImport[T]) pass(s streams, dryRun bool) (*importResult, error) {
	total := &importResult{}
	if _, err := l.in.Seek(0, io.SeekStart); err != nil {
		return total, err
	}
	reader, err := rows.NewReader(l.in, l.columns, l.pem)
	if err != nil {
		return total, fmt.Errorf("%s: %w", l.file, err)
	}
	part := &part[T]{}
	for {
		row, err := reader.Next()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return total, fmt.Errorf("%s: %w", l.file, err)
		}
		if !end {
			l.add(s, part, row)
		}
		if n := len(part.rows) + part.bad; n == masa.MaxImport || end && n > 0 {
			if err := l.sendPart(s, part, dryRun, total); err != nil {
				return total, err
			}
		}
		if end {
			l.progress.end()
			return total, nil
		}
	}
}

// part are rows that are sent together, and their lines.
type part[T any] struct {
	rows  []T
	lines []int
	bad   int // rows that could not be parsed
}

func (l *listImport[T]) add(s streams, p *part[T], row *rows.Row) {
	parsed, err := l.parse(row)
	if err != nil {
		p.bad++
		l.problem(s, row.Line, row.Fields["serial_number"], err.Error())
		return
	}
	p.rows, p.lines = append(p.rows, parsed), append(p.lines, row.Line)
}

func (l *listImport[T]) sendPart(s streams, p *part[T], dryRun bool, total *importResult) error {
	report := &masa.ImportReport{Applied: true}
	if len(p.rows) > 0 {
		var err error
		if report, err = l.send(p.rows, dryRun); err != nil {
			return err
		}
	}
	for _, problem := range report.Problems {
		l.problem(s, p.lines[problem.Row-1], problem.SerialNumber, problem.Problem)
	}
	if !dryRun && !report.Applied {
		return fmt.Errorf("lines %d to %d were not imported: %d rows have problems", p.lines[0], p.lines[len(p.lines)-1], len(report.Problems))
	}
	total.Rows += len(p.rows) + p.bad
	total.Added += report.Added
	total.Changed += report.Changed
	total.Unchanged += report.Unchanged
	p.rows, p.lines, p.bad = p.rows[:0], p.lines[:0], 0
	l.progress.show(dryRun, total.Rows)
	return nil
}

func (l *listImport[T]) problem(s streams, line int, serialNumber, text string) {
	l.problems++
	if l.problems > maxProblems {
		return
	}
	l.progress.end()
	cli.Note(s.Err, "line %d, %q: %s", line, serialNumber, text)
	if l.problems == maxProblems {
		cli.Note(s.Err, "further problems are counted only")
	}
}
