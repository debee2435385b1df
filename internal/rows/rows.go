// Package rows reads lists in the files of an operator, row by row and in
// bounded memory, with the line of each row: CSV, JSON lines or PEM
// certificates, told apart by how the file begins.
//
// Start with [NewReader]. The package knows nothing of what the columns mean.
package rows

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/strictjson"
)

// MaxRow is the most bytes that a row may have, the blank lines and comments
// before it included.
const MaxRow = 256 << 10

// Row is one row. Only fields that are not empty are there.
type Row struct {
	Line   int               // where it begins, from 1
	Fields map[string]string // by column
}

// Reader reads the rows of one file.
type Reader struct {
	columns  []string
	headless []string
	pem      string // column of a PEM certificate; empty where none are taken
	bounded  *bounded
	next     func() (*Row, error)

	lines   *bufio.Reader // JSON and PEM
	line    int           // read of it
	csv     *csv.Reader
	heading []string
	first   *Row // read while looking for the heading
}

// NewReader looks how in begins and returns a Reader of it. Columns are the
// names that CSV headings and JSON members may have, in any order, of which one
// that ends in ".*" is any name that begins like it; a CSV file without a heading
// has the first of them alone. PEM is the column that takes
// the text of a PEM certificate, or empty to take no PEM file.
//
// CSV (RFC 4180) may have blank lines and comments that begin with "#".
func NewReader(in io.Reader, columns []string, pem string, headless ...string) (*Reader, error) {
	if len(headless) == 0 {
		headless = columns[:1]
	}
	r := &Reader{columns: columns, headless: headless, pem: pem, bounded: &bounded{in: in}}
	buffered := bufio.NewReaderSize(r.bounded, 64<<10)
	start, err := begin(buffered)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("-----BEGIN")):
		if pem == "" {
			return nil, errors.New("a PEM file does not say whose rows these are; give CSV or JSON lines")
		}
		r.lines, r.next = buffered, r.nextPEM
	case bytes.HasPrefix(start, []byte("{")):
		r.lines, r.next = buffered, r.nextJSON
	case bytes.HasPrefix(start, []byte("[")):
		return nil, errors.New("a JSON array; give one object a line, as jq -c '.[]' prints them")
	default:
		r.csv, r.next = csv.NewReader(buffered), r.nextCSV
		r.csv.Comment, r.csv.FieldsPerRecord, r.csv.ReuseRecord, r.csv.TrimLeadingSpace = '#', -1, true, true
		return r, r.readHeading()
	}
	return r, nil
}

// Next returns the next row, or io.EOF. Any other error names the line, and
// ends the reading.
func (r *Reader) Next() (*Row, error) {
	row, err := r.next()
	r.bounded.since = 0
	return row, err
}

// begin passes over a byte order mark and returns the first bytes.
func begin(in *bufio.Reader) ([]byte, error) {
	if mark, _ := in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3)
	}
	start, err := in.Peek(10)
	if len(start) == 0 && err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, err
	}
	return start, nil
}

// bounded refuses to read on and on for one row.
type bounded struct {
	in    io.Reader
	since int // bytes since the last row; reset by the Reader
}

var errLong = fmt.Errorf("a row of more than %d bytes; is a quote or a line end missing?", MaxRow)

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.since > MaxRow {
		return 0, errLong
	}
	n, err := b.in.Read(p)
	b.since += n
	return n, err
}

func at(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }

// readHeading reads the first record. It is no heading when its first field is
// no column: then it is a row of the first column.
func (r *Reader) readHeading() error {
	record, line, err := r.record()
	if errors.Is(err, io.EOF) {
		return errors.New("there is no row in the file")
	}
	if err != nil {
		return err
	}
	r.heading = r.headless
	if !r.has(name(record[0])) {
		r.first, err = r.csvRow(record, line)
		return err
	}
	r.heading = nil
	for _, field := range record {
		column := name(field)
		switch {
		case !r.has(column):
			return at(line, fmt.Errorf("no column is called %q; there are %s", field, strings.Join(r.columns, ", ")))
		case slices.Contains(r.heading, column):
			return at(line, fmt.Errorf("column %q is there twice", column))
		}
		r.heading = append(r.heading, column)
	}
	return nil
}

// name is that of a column; what comes after a point is somebody's own.
func name(heading string) string {
	heading = strings.TrimSpace(heading)
	kind, own, ok := strings.Cut(heading, ".")
	if !ok {
		return strings.ToLower(heading)
	}
	return strings.ToLower(kind) + "." + own
}

func (r *Reader) has(column string) bool {
	if slices.Contains(r.columns, column) {
		return true
	}
	kind, own, ok := strings.Cut(column, ".")
	return ok && own != "" && slices.Contains(r.columns, kind+".*")
}

func (r *Reader) nextCSV() (*Row, error) {
	if row := r.first; row != nil {
		r.first = nil
		return row, nil
	}
	record, line, err := r.record()
	if err != nil {
		return nil, err
	}
	return r.csvRow(record, line)
}

func (r *Reader) record() ([]string, int, error) {
	record, err := r.csv.Read()
	if err == nil || errors.Is(err, io.EOF) {
		line := 0
		if err == nil {
			line, _ = r.csv.FieldPos(0)
		}
		return record, line, err
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return nil, 0, at(parse.StartLine, parse.Err)
	}
	return nil, 0, err
}

func (r *Reader) csvRow(record []string, line int) (*Row, error) {
	if len(record) > len(r.heading) {
		return nil, at(line, fmt.Errorf("%d fields for the columns %s; the first line names the columns", len(record), strings.Join(r.heading, ", ")))
	}
	row := &Row{Line: line, Fields: make(map[string]string, len(record))}
	for i, field := range record {
		row.set(r.heading[i], field)
	}
	return row, nil
}

func (row *Row) set(column, value string) {
	if value = strings.TrimSpace(value); value != "" {
		row.Fields[column] = value
	}
}

// readLine returns the next line without its end. The slice is good until the
// next call.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) { // longer than the buffer: the rest into a slice of its own
		rest, more := r.lines.ReadBytes('\n')
		line, err = append(bytes.Clone(line), rest...), more
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		if errors.Is(err, errLong) {
			err = at(r.line+1, err)
		}
		return nil, err
	}
	r.line++
	return bytes.TrimSpace(line), nil
}

func (r *Reader) nextJSON() (*Row, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		row, err := r.jsonRow(line)
		if err != nil {
			return nil, at(r.line, err)
		}
		return row, nil
	}
}

func (r *Reader) jsonRow(line []byte) (*Row, error) {
	members, err := strictjson.Object(line, strictjson.Limits{Bytes: MaxRow, Depth: 2, Members: 64 + 2*len(r.columns)})
	if err != nil {
		return nil, fmt.Errorf("not one JSON object: %w", err)
	}
	row := &Row{Line: r.line, Fields: make(map[string]string, len(members))}
	for _, m := range members {
		if !r.has(m.Name) {
			return nil, fmt.Errorf("no member is called %q; there are %s", m.Name, strings.Join(r.columns, ", "))
		}
		if string(m.Value) == "null" {
			continue
		}
		text, err := strictjson.Text(m.Value)
		if err != nil {
			return nil, fmt.Errorf("member %q is not text: %w", m.Name, err)
		}
		row.set(m.Name, text)
	}
	return row, nil
}

// nextPEM collects the lines of one certificate. What is between them is text
// for people.
func (r *Reader) nextPEM() (*Row, error) {
	var text strings.Builder
	start := 0
	for {
		line, err := r.readLine()
		if errors.Is(err, io.EOF) && start > 0 {
			return nil, at(start, errors.New("the certificate has no end"))
		}
		if err != nil {
			return nil, err
		}
		switch {
		case start == 0 && string(line) == "-----BEGIN CERTIFICATE-----":
			start = r.line
		case start == 0:
			continue
		}
		text.Write(line)
		text.WriteByte('\n')
		if string(line) == "-----END CERTIFICATE-----" {
			return &Row{Line: start, Fields: map[string]string{r.pem: text.String()}}, nil
		}
	}
}
