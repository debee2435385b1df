package inventory

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"

	"github.com/briskest/briskest/registrar"
)

// Writer writes devices as [Importer] reads them.
type Writer struct {
	csv  *csv.Writer
	json *json.Encoder
}

// NewWriter returns one for the format CSV or JSONLines.
func NewWriter(out io.Writer, format string) (*Writer, error) {
	switch format {
	case CSV:
		w := &Writer{csv: csv.NewWriter(out)}
		return w, w.csv.Write(exported())
	case JSONLines:
		w := &Writer{json: json.NewEncoder(out)}
		w.json.SetEscapeHTML(false)
		return w, nil
	default:
		return nil, fmt.Errorf("devices are exported as %s or %s, not %q", CSV, JSONLines, format)
	}
}

func exported() []string {
	return []string{
		columnSerial, columnManufacturer, columnModel, columnFirmware, columnBatch, columnModule, columnElement, columnTPM, columnAttributes, columnIDevID,
	}
}

// Write writes one device. In CSV a field that a spreadsheet would take for a
// formula has an apostrophe before it, which an import takes away.
func (w *Writer) Write(d *registrar.Device) error {
	fields := map[string]string{
		columnSerial: d.SerialNumber, columnManufacturer: d.Manufacturer, columnModel: d.Model, columnFirmware: d.Firmware,
		columnBatch: d.Batch, columnModule: d.HardwareModule, columnElement: d.SecureElement, columnTPM: d.TPM,
		columnIDevID: base64.StdEncoding.EncodeToString(d.IDevID),
	}
	if w.json != nil {
		for column, value := range fields {
			if value == "" {
				delete(fields, column)
			}
		}
		for name, value := range d.Attributes {
			fields[attributePrefix+name] = value
		}
		return w.json.Encode(fields)
	}
	if len(d.Attributes) > 0 {
		text, err := json.Marshal(d.Attributes)
		if err != nil {
			return err
		}
		fields[columnAttributes] = string(text)
	}
	record := make([]string, 0, len(fields)+1)
	for _, column := range exported() {
		record = append(record, guarded(fields[column]))
	}
	return w.csv.Write(record)
}

// Flush writes what is held back.
func (w *Writer) Flush() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}
