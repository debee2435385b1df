package main

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
)

// importRow is one device of an import file.
type importRow struct {
	serialNumber string
	idevid       []byte // DER; nil when the file names serial numbers
	second       string // the second field of the line
}

// maxImportFile bounds an import file, in bytes.
const maxImportFile = 256 << 20

// readImport reads devices: a PEM file of IDevID certificates, or lines whose
// first comma-separated field is a serial number. Blank lines, lines that begin
// with "#", and a heading "serial_number" are passed over.
func readImport(s streams, file string) ([]importRow, error) {
	in, done, err := open(s.In, file)
	if err != nil {
		return nil, err
	}
	defer done()
	buffered := bufio.NewReader(io.LimitReader(in, maxImportFile))
	if start, _ := buffered.Peek(10); string(start) == "-----BEGIN" {
		return readIDevIDs(buffered, file)
	}
	var rows []importRow
	lines := bufio.NewScanner(buffered)
	for n := 1; lines.Scan(); n++ {
		field, rest, _ := strings.Cut(lines.Text(), ",")
		second, _, _ := strings.Cut(rest, ",")
		field, second = strings.Trim(strings.TrimSpace(field), `"`), strings.Trim(strings.TrimSpace(second), `"`)
		if field == "" || field[0] == '#' || n == 1 && strings.EqualFold(field, "serial_number") {
			continue
		}
		rows = append(rows, importRow{serialNumber: field, second: second})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no serial number in it", file)
	}
	return rows, nil
}

func readIDevIDs(in io.Reader, file string) ([]importRow, error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	var rows []importRow
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			rows = append(rows, importRow{idevid: block.Bytes})
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no PEM certificate in it", file)
	}
	return rows, nil
}

// actor names who runs the command, for the trail.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "cli:" + u.Username
	}
	return fmt.Sprintf("cli:%d", os.Getuid())
}

// chunks calls do with at most size rows at a time.
func chunks[T any](rows []T, size int, do func([]T) error) error {
	for len(rows) > 0 {
		n := min(size, len(rows))
		if err := do(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
