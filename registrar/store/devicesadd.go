package store

import (
	"crypto/sha256"
	"strings"

	"github.com/briskest/briskest/registrar"
)

const (
	// manyDevices is how many rows one statement inserts, where there are as many.
	manyDevices = 32

	addColumns = `INSERT INTO devices (domain, id, manufacturer, serial_number, state, source, created_at, seen_at, idevid_hash,
		model, firmware, batch, hardware_module, secure_element, tpm, attributes, group_name, group_pinned) VALUES `
	addRow = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	// addPlainColumns are of devices of which only the name is known.
	addPlainColumns = "INSERT INTO devices (domain, id, manufacturer, serial_number, state, source, created_at, seen_at) VALUES "
	addPlainRow     = "(?, ?, ?, ?, ?, ?, ?, ?)"
)

func addMany(columns, row string) string {
	return columns + strings.Repeat(row+", ", manyDevices-1) + row
}

// addDevices inserts devices in their order. Rows of as many as one statement
// inserts are numbered one after the other, since nobody else writes.
func (w writer) addDevices(devices []*registrar.Device) error {
	for len(devices) > 0 {
		n := 1
		if len(devices) >= manyDevices {
			n = manyDevices
		}
		if err := w.add(devices[:n]); err != nil {
			return conflict(err, "device", devices[0].SerialNumber)
		}
		w.added.add(devices[:n]...)
		devices = devices[n:]
	}
	return nil
}

// add inserts one device or manyDevices.
func (w writer) add(devices []*registrar.Device) error {
	plain := true
	for _, d := range devices {
		plain = plain && !hasDetails(d) && len(d.IDevID) == 0
	}
	args := make([]any, 0, 18*len(devices))
	for _, d := range devices {
		args = append(args, d.Domain, d.ID, d.Manufacturer, d.SerialNumber, string(d.State), d.Source, d.CreatedAt, d.SeenAt)
		if !plain {
			more, err := detailArgs(d)
			if err != nil {
				return err
			}
			args = append(args, more...)
		}
	}
	columns, row := addColumns, addRow
	if plain {
		columns, row = addPlainColumns, addPlainRow
	}
	if len(devices) > 1 {
		row = addMany("", row)
	}
	if _, err := w.tx.Exec(columns+row, args...); err != nil {
		return err
	}
	if !plain {
		if err := w.addIDevIDs(devices); err != nil {
			return err
		}
	}
	return w.coverAdded(devices)
}

func detailArgs(d *registrar.Device) ([]any, error) {
	attributes, err := attributesText(d.Attributes)
	return []any{
		idevidHash(d), d.Model, d.Firmware, d.Batch, d.HardwareModule, d.SecureElement, d.TPM, attributes, d.Group, d.GroupPinned,
	}, err
}

// idevidHash is the SHA-256 of the IDevID, nil without one.
func idevidHash(d *registrar.Device) []byte {
	if len(d.IDevID) == 0 {
		return nil
	}
	sum := sha256.Sum256(d.IDevID)
	return sum[:]
}

// addIDevIDs inserts those of the devices that were just inserted.
func (w writer) addIDevIDs(devices []*registrar.Device) error {
	var last int64
	for i, d := range devices {
		if len(d.IDevID) == 0 {
			continue
		}
		if last == 0 {
			if err := w.tx.QueryRow("SELECT max(row) FROM devices").Scan(&last); err != nil {
				return err
			}
		}
		row := last - int64(len(devices)-1-i)
		if _, err := w.tx.Exec("INSERT INTO idevids (row, raw) VALUES (?, ?)", row, d.IDevID); err != nil {
			return err
		}
	}
	return nil
}

func (w writer) coverAdded(devices []*registrar.Device) error {
	for _, d := range devices {
		if hasDetails(d) {
			attributes, err := attributesText(d.Attributes)
			if err != nil {
				return err
			}
			if err := w.coverDetails(d, attributes); err != nil {
				return err
			}
		}
		if err := w.coverDevice(d); err != nil {
			return err
		}
	}
	return nil
}
