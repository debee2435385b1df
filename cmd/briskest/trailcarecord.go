package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
)

// caRecords holds the records of the CA folders that a registrar uses against
// its trail: each time it loaded its configuration, the trail got the digest of
// every record as it was then, which has to be that of its beginning now.
type caRecords struct {
	files map[string]string // by the path as the configuration has it: the file
	seen  map[string][]seenRecord
	told  map[string]bool // certificates that they tell of, or the trail does: SHA-256, or that of the to-be-signed part, in hex
}

// seenRecord is how a record was when an entry was written.
type seenRecord struct {
	seq    int64
	sha256 string
}

func newCARecords(c *registrarConfig) *caRecords {
	r := &caRecords{files: make(map[string]string), seen: make(map[string][]seenRecord), told: make(map[string]bool)}
	for i := range c.Issuers {
		if local := c.Issuers[i].Local; local != nil && local.Folder != "" {
			name := recordOf(local.Folder)
			r.files[name] = c.path(name)
		}
	}
	return r
}

// recordOf is the path of a CA folder's record as digests of configurations have it.
func recordOf(folder string) string { return path.Join(filepath.ToSlash(folder), caRecordFile) }

// noteRecord has the trail's line about the configuration hold the digest of the
// CA's own record, as far as its last whole line: none of its lines can go
// without being missed.
func (s *source) noteRecord(folder string) error {
	f, err := os.Open(s.path(recordOf(folder)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil { // the end, or a line too long to be one of a record, which trail verify tells of
			break
		}
		h.Write(line)
	}
	s.digests[recordOf(folder)] = hex.EncodeToString(h.Sum(nil))
	return nil
}

func (r *caRecords) entry(e *trail.Entry) error {
	if e.Kind != kindConfigurationLoaded && e.Kind != kindIntended {
		return nil
	}
	var body struct {
		SHA256 map[string]string `json:"sha256"`
		TBS    string            `json:"tbs_sha256"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return nil //nolint:nilerr // not of a configuration's shape: it tells of no record
	}
	if e.Kind == kindIntended { // by briskest init, which has no record of a folder yet
		r.told[body.TBS] = true
		return nil
	}
	for name := range r.files {
		if sum := body.SHA256[name]; sum != "" {
			r.seen[name] = append(r.seen[name], seenRecord{e.Seq, sum})
		}
	}
	return nil
}

// verify returns how many lines the records have.
func (r *caRecords) verify() (lines int64, err error) {
	for name, file := range r.files {
		n, err := r.verifyOne(file, r.seen[name])
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		lines += n
	}
	return lines, nil
}

func changedRecord(format string, args ...any) error {
	return fmt.Errorf("%w: %s", sqlitedb.ErrTrail, fmt.Sprintf(format, args...))
}

// tellsOf tells whether a record that was verified has the certificate.
func (r *caRecords) tellsOf(raw []byte) bool {
	sum := sha256.Sum256(raw)
	if r.told[hex.EncodeToString(sum[:])] {
		return true
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return false
	}
	tbs := sha256.Sum256(cert.RawTBSCertificate)
	return r.told[hex.EncodeToString(tbs[:])]
}

// verifyOne checks the record's own chain, that each certificate in it was
// intended before, and that it begins with each state that was seen.
func (r *caRecords) verifyOne(file string, seen []seenRecord) (int64, error) {
	in, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		if len(seen) > 0 {
			return 0, changedRecord("the CA's record is gone, and entry %d of the trail has seen it", seen[0].seq)
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	whole := sha256.New()
	intended := make(map[string]bool)
	var last, before string
	var n int64
	scanner := bufio.NewScanner(in)
	for scanner.Scan() {
		n++
		var line recordLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return 0, changedRecord("line %d is not one of a CA's record", n)
		}
		if line.Before != last {
			return 0, changedRecord("line %d does not follow from the one before it: the CA's record was changed", n)
		}
		switch line.Kind {
		case kindIntended:
			intended[line.TBS] = true
		case kindIssued:
			if !intended[line.TBS] {
				return 0, changedRecord("line %d tells of a certificate that nobody intended", n)
			}
		}
		r.told[line.Certificate] = true
		sum := sha256.Sum256(scanner.Bytes())
		before, last = last, hex.EncodeToString(sum[:])
		whole.Write(append(scanner.Bytes(), '\n'))
		now := hex.EncodeToString(whole.Sum(nil))
		seen = slices.DeleteFunc(seen, func(s seenRecord) bool { return s.sha256 == now })
	}
	if err := scanner.Err(); err != nil {
		return 0, err
	}
	if err := checkRecordHead(filepath.Join(filepath.Dir(file), caHeadFile), &readLines{lines: n, last: last, before: before}); err != nil && len(seen) == 0 {
		return 0, changedRecord("%v", err)
	}
	if len(seen) > 0 {
		return 0, changedRecord("it does not begin with what entry %d of the trail has seen: lines of the CA's record were removed or changed", seen[0].seq)
	}
	return n, nil
}
