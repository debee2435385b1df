package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/briskest/briskest/ca"
)

// caRecordFile is the record of a CA's folder: a line for each certificate that
// is about to be signed, durable before the signer is asked, and one for what
// came of it. Each line has the SHA-256 of the one before, so that none can be
// changed or taken out without changing all that follow.
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

// append writes a line and returns when it is on disk.
func (f *caFolder) append(line *recordLine) (err error) {
	file, err := os.OpenFile(f.path(caRecordFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if line.Before, err = verifyRecord(file); err != nil {
		return fmt.Errorf("%s: %w", f.path(caRecordFile), err)
	}
	line.At, line.Actor = f.now(), actor()
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(data, '\n')); err != nil {
		return err
	}
	return file.Sync()
}

// verifyRecord reads a record and returns the SHA-256 of its last line. A line
// that does not follow from the one before is an error.
func verifyRecord(file *os.File) (last string, err error) {
	scanner := bufio.NewScanner(file)
	for n := 1; scanner.Scan(); n++ {
		var line recordLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return "", fmt.Errorf("line %d is not one of a record: %w", n, err)
		}
		if line.Before != last {
			return "", fmt.Errorf("line %d does not follow from the one before it: the record was changed", n)
		}
		sum := sha256.Sum256(scanner.Bytes())
		last = hex.EncodeToString(sum[:])
	}
	return last, scanner.Err()
}
