// Package inventory moves devices in and out of a registrar's inventory by the
// file: CSV, JSON lines, PEM certificates and signed manufacturing manifests,
// which are also what a MASA's export has.
//
// Start with [Importer]: it goes through a file twice, first to check every row,
// then, if none has a problem, to bring them on record in batches. Each batch is
// one transaction with one entry of the trail, which has the SHA-256 of the file
// and the root of the Merkle tree over the batch's rows. [Watcher] does that with
// the files that somebody puts into a folder; [Writer] writes what [Importer] reads.
package inventory

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/briskest/briskest/internal/rows"
	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/registrar"
)

// BatchRows is how many rows of a file are one transaction: many enough that the
// disk is waited for seldom, and few enough that devices do not wait for long.
const BatchRows = 2000

const (
	columnSerial       = "serial_number"
	columnIDevID       = "idevid"
	columnManufacturer = "manufacturer"
	columnModel        = "model"
	columnFirmware     = "firmware"
	columnBatch        = "batch"
	columnModule       = "hardware_module"
	columnElement      = "secure_element"
	columnTPM          = "tpm"
	columnOwner        = "owner"
	columnAttributes   = "attributes" // a JSON object
	attributePrefix    = "attribute." // and its name
)

// Columns are the names that CSV headings and JSON members may have. Of
// "attribute.*" the rest is the attribute's name; "attributes" is a JSON object
// of them; "idevid" is PEM, or the base64 of the DER.
func Columns() []string {
	return []string{
		columnSerial, columnIDevID, columnManufacturer, columnModel, columnFirmware, columnBatch, columnModule, columnElement, columnTPM,
		columnOwner, columnAttributes, attributePrefix + "*",
	}
}

// Row returns what the Merkle tree of a batch has of a row as its leaf: a JSON
// object of the fields that are not empty, as they are in the file, by name.
func Row(fields map[string]string) []byte {
	text, _ := json.Marshal(fields) // never fails
	return text
}

// device is what a row says.
func device(row *rows.Row, format string) (registrar.ImportDevice, error) {
	f, plain := row.Fields, asWritten
	if format == CSV {
		plain = unguarded
	}
	d := registrar.ImportDevice{
		SerialNumber: plain(f[columnSerial]), Model: plain(f[columnModel]), Firmware: plain(f[columnFirmware]), Batch: plain(f[columnBatch]),
		HardwareModule: strings.ToLower(plain(f[columnModule])), SecureElement: plain(f[columnElement]),
		TPM: strings.ToLower(strings.ReplaceAll(f[columnTPM], ":", "")),
	}
	if text, ok := f[columnIDevID]; ok {
		der, err := certificate(text)
		if err != nil {
			return d, fmt.Errorf("idevid: %w", err)
		}
		d.IDevID = der
	}
	if owner, ok := f[columnOwner]; ok {
		owner = plain(owner)
		d.Owner = &owner
	}
	var err error
	d.Attributes, err = attributes(f, plain)
	return d, err
}

func attributes(f map[string]string, plain func(string) string) (map[string]string, error) {
	var out map[string]string
	if text, ok := f[columnAttributes]; ok {
		members, err := strictjson.Object([]byte(text), strictjson.Limits{Bytes: rows.MaxRow, Depth: 1, Members: registrar.MaxAttributes})
		if err != nil {
			return nil, fmt.Errorf("attributes: %w", err)
		}
		out = make(map[string]string, len(members))
		for _, m := range members {
			if out[m.Name], err = strictjson.Text(m.Value); err != nil {
				return nil, fmt.Errorf("attributes: %.64q is not text: %w", m.Name, err)
			}
		}
	}
	for column, value := range f {
		name, ok := strings.CutPrefix(column, attributePrefix)
		if !ok {
			continue
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[name] = plain(value)
	}
	return maps.Clone(out), nil
}

// certificate reads PEM, or the base64 of DER.
func certificate(text string) ([]byte, error) {
	if strings.HasPrefix(text, "-----BEGIN") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
			return nil, errors.New("not one PEM certificate")
		}
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("neither a PEM certificate nor the base64 of one")
	}
	return der, nil
}

// A spreadsheet takes a field that begins with one of these for a formula; with
// an apostrophe before it, it is text. What is written so is read back so.
const formula = "=+-@\t\r'"

func guarded(value string) string {
	if value != "" && strings.IndexByte(formula, value[0]) >= 0 {
		return "'" + value
	}
	return value
}

func asWritten(value string) string { return value }

func unguarded(value string) string {
	if len(value) > 1 && value[0] == '\'' && strings.IndexByte(formula, value[1]) >= 0 {
		return value[1:]
	}
	return value
}
