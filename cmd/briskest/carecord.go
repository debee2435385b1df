package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

// caRecordFile is the record of a CA's folder: a line for each certificate that
// is about to be signed, durable before the signer is asked, and one for what
// came of it. Each line has the SHA-256 of the one before, so that none can be
// changed or taken out without changing all that follow; [caHeadFile] holds the last.
const caRecordFile = "record.jsonl"

// recordLine is one line of it.
type recordLine struct {
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	Kind  string    `json:"kind"` // ca-certificate-intended, ca-certificate-issued, ca-certificate-installed, ca-rolled-over
	intent
	Certificate string `json:"certificate_sha256,omitempty"` // of its DER, in hex
	Before      string `json:"before_sha256"`                // of the line before, without its end; empty in the first
}

// The kinds of lines.
const (
	kindIntended  = "ca-certificate-intended"
	kindIssued    = "ca-certificate-issued"
	kindInstalled = "ca-certificate-installed"
)

// record is a ca.Request's Record.
func (f *caFolder) record(_ context.Context, in *ca.Intent) error {
	return f.append(&recordLine{Kind: kindIntended, intent: intentOf(in)})
}

// issued notes that an intended certificate exists.
func (f *caFolder) issued(kind string, cert *x509.Certificate) error {
	sum, key := sha256.Sum256(cert.Raw), sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	tbs := sha256.Sum256(cert.RawTBSCertificate)
	return f.append(&recordLine{Kind: kind, Certificate: hex.EncodeToString(sum[:]), intent: intent{
		Serial: hex.EncodeToString(cert.SerialNumber.Bytes()), TBS: hex.EncodeToString(tbs[:]), Key: hex.EncodeToString(key[:]),
	}})
}

// append writes a line and returns when it is on disk, and the head after it.
func (f *caFolder) append(line *recordLine) (err error) {
	file, err := os.OpenFile(f.path(caRecordFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r, err := readRecord(file)
	if err == nil {
		err = f.checkHead(r)
	}
	if err != nil {
		return cli.Hint(fmt.Errorf("%s: %w", f.path(caRecordFile), err),
			"put the record and %s of the last backup back, and find out who wrote into them; without them nothing is signed", caHeadFile)
	}
	line.At, line.Actor, line.Before = f.now(), actor(), r.last
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	// What a crash left of a line that nothing was signed for goes.
	if err := file.Truncate(r.size); err != nil {
		return err
	}
	if _, err := file.WriteAt(append(data, '\n'), r.size); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	return f.writeHead(&recordHead{Lines: r.lines + 1, Last: hex.EncodeToString(sum[:])})
}

// caHeadFile says how the record ends, so that a last line that was edited or
// taken out is missed too.
const caHeadFile = "record.head"

// recordHead is that file.
type recordHead struct {
	Lines int64  `json:"lines"`
	Last  string `json:"last_sha256"` // of the last line, without its end
}

func (f *caFolder) writeHead(h *recordHead) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return pemfile.Write(f.path(caHeadFile), append(data, '\n'), 0o600)
}

// checkHead holds a record that was read against the head.
func (f *caFolder) checkHead(r *readLines) error { return checkRecordHead(f.path(caHeadFile), r) }

// checkRecordHead is checkHead of a head at a path. A crash between a line and
// the head leaves one line more than it says.
func checkRecordHead(path string, r *readLines) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if r.lines > 1 {
			return fmt.Errorf("%s, which says how it ends, is gone", caHeadFile)
		}
		return nil
	}
	if err != nil {
		return err
	}
	var h recordHead
	if err := json.Unmarshal(data, &h); err != nil {
		return fmt.Errorf("%s cannot be read: %w", caHeadFile, err)
	}
	switch {
	case r.lines == h.Lines && r.last == h.Last, r.lines == h.Lines+1 && r.before == h.Last:
		return nil
	case r.lines < h.Lines:
		return fmt.Errorf("it has %d lines and had %d: its end was cut", r.lines, h.Lines)
	default:
		return errors.New("its last line is not the one that was written: the record was changed")
	}
}

// readLines is what was read of a record.
type readLines struct {
	lines        int64
	size         int64  // bytes of the whole lines
	last, before string // SHA-256 of the last line and the one before it
}

// maxRecordLine bounds a line of a record, in bytes.
const maxRecordLine = 64 << 10

// readRecord reads a record. A line that does not follow from the one before is
// an error; what stands behind the last whole line is not read.
func readRecord(file io.Reader) (*readLines, error) {
	r := new(readLines)
	in := bufio.NewReaderSize(file, maxRecordLine)
	for {
		data, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		r.lines++
		r.size += int64(len(data))
		data = bytes.TrimSuffix(data, []byte("\n"))
		var line recordLine
		if err := json.Unmarshal(data, &line); err != nil {
			return nil, fmt.Errorf("line %d is not one of a record: %w", r.lines, err)
		}
		if line.Before != r.last {
			return nil, fmt.Errorf("line %d does not follow from the one before it: the record was changed", r.lines)
		}
		sum := sha256.Sum256(data)
		r.before, r.last = r.last, hex.EncodeToString(sum[:])
	}
}
