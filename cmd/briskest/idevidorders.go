package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/rows"
)

// idevidOrder is an IDevID to be made, and where it was asked for.
type idevidOrder struct {
	idevidRequest        // key is nil where it is to be made here
	where         string // file and line
}

const (
	maxOrders = 200_000  // devices of one command
	maxCSR    = 64 << 10 // bytes
)

func idevidColumns() []string {
	return []string{"serial_number", "csr", "key_sha256", "hw_type", "hw_serial", "batch"}
}

// read reads what is asked for, and checks each CSR's signature. A serial
// number is there once.
func (c *idevidIssueCmd) read(s streams) ([]idevidOrder, error) {
	orders, err := c.readFrom(s)
	if err != nil {
		return nil, cli.Hint(err, "briskest masa idevid issue --help tells what can be given")
	}
	seen := make(map[string]string, len(orders))
	for i := range orders {
		o := &orders[i]
		switch {
		case o.serial == "":
			return nil, cli.Usage("%s: there is no serial number: put serialNumber into the CSR's subject, or give --serial-number", o.where)
		case seen[o.serial] != "":
			return nil, cli.Usage("%s: serial number %q is in %s too", o.where, o.serial, seen[o.serial])
		case o.key == nil && !c.GenerateKeys:
			return nil, cli.Usage("%s: device %q has no CSR; --generate-keys makes its key here", o.where, o.serial)
		}
		seen[o.serial] = o.where
		if o.batch == "" {
			o.batch = c.Batch
		}
	}
	return orders, nil
}

func (c *idevidIssueCmd) readFrom(s streams) ([]idevidOrder, error) {
	if c.From == "-" {
		return readOrders(s.In, "standard input", ".")
	}
	info, err := os.Stat(c.From)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readCSRs(c.From)
	}
	f, err := os.Open(c.From)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start := make([]byte, 64)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s: %w", c.From, err)
	}
	if start = start[:n]; start[0] == 0x30 || bytes.Contains(start, []byte("CERTIFICATE REQUEST")) {
		o, err := readCSR(c.From)
		if err != nil {
			return nil, err
		}
		if c.SerialNumber != "" && o.serial != "" && c.SerialNumber != o.serial {
			return nil, cli.Usage("%s is for serial number %q", c.From, o.serial)
		}
		if o.serial == "" {
			o.serial = c.SerialNumber
		}
		return []idevidOrder{*o}, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return readOrders(f, c.From, filepath.Dir(c.From))
}

// readOrders reads a list; CSRs are relative to dir.
func readOrders(in io.Reader, name, dir string) ([]idevidOrder, error) {
	list, err := rows.NewReader(in, idevidColumns(), "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var orders []idevidOrder
	for {
		row, err := list.Next()
		if errors.Is(err, io.EOF) {
			return orders, nil
		}
		if err == nil && len(orders) == maxOrders {
			err = fmt.Errorf("more than %d devices; split the list", maxOrders)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		o, err := readOrder(row, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, row.Line, err)
		}
		o.where = fmt.Sprintf("%s: line %d", name, row.Line)
		orders = append(orders, *o)
	}
}

func readOrder(row *rows.Row, dir string) (*idevidOrder, error) {
	o := &idevidOrder{}
	var err error
	if file := row.Fields["csr"]; file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		if o, err = readCSR(file); err != nil {
			return nil, err
		}
	}
	if serial := row.Fields["serial_number"]; serial != "" {
		if o.serial != "" && o.serial != serial {
			return nil, fmt.Errorf("the CSR is for serial number %q, not for %q", o.serial, serial)
		}
		o.serial = serial
	}
	o.hwSerial, o.batch = row.Fields["hw_serial"], row.Fields["batch"]
	if text := row.Fields["hw_type"]; text != "" {
		types, err := objectIdentifiers([]string{text})
		if err != nil {
			return nil, fmt.Errorf("hw_type: %w", err)
		}
		o.hwType = types[0]
	}
	return o, o.checkKeyHash(row.Fields["key_sha256"])
}

// checkKeyHash holds the CSR against the hash of the key that was noted when
// the device was made.
func (o *idevidOrder) checkKeyHash(text string) error {
	if text == "" {
		return nil
	}
	hash, err := hexText(text)
	switch {
	case err != nil:
		return fmt.Errorf("key_sha256: %w", err)
	case o.key == nil:
		return errors.New("key_sha256 is about a CSR, and there is none")
	}
	spki, err := x509.MarshalPKIXPublicKey(o.key)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(spki); !bytes.Equal(sum[:], hash) {
		return errors.New("the CSR has another key than key_sha256 says")
	}
	return nil
}

// readCSRs reads every CSR of a folder.
func readCSRs(dir string) ([]idevidOrder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var orders []idevidOrder
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".csr", ".p10", ".pem", ".der"}, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		if len(orders) == maxOrders {
			return nil, fmt.Errorf("%s has more than %d CSRs; split it", dir, maxOrders)
		}
		o, err := readCSR(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		orders = append(orders, *o)
	}
	if len(orders) == 0 {
		return nil, fmt.Errorf("%s has no file .csr, .p10, .pem or .der", dir)
	}
	return orders, nil
}

// readCSR reads a CSR (RFC 2986, Section 4), PEM or DER, and checks its
// signature: whoever made it has the key. Of its names only the serial number
// is looked at.
func readCSR(file string) (*idevidOrder, error) {
	data, err := readBounded(strings.NewReader(""), file, maxCSR)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(data)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not a good CSR: %w", file, err)
	}
	o := &idevidOrder{where: file}
	o.key = csr.PublicKey
	for _, a := range csr.Subject.Names {
		if !a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 5}) {
			continue
		}
		text, ok := a.Value.(string)
		if !ok || o.serial != "" {
			return nil, fmt.Errorf("%s: its subject has to have one serialNumber, which is text", file)
		}
		o.serial = text
	}
	return o, nil
}
