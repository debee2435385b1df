package registrar

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/briskest/briskest/voucher"
)

// importRow is what a checked device comes to.
type importRow struct {
	serial string
	module string // as Device.HardwareModule
	err    error
}

// check fills in im.rows, and notes each problem. Certificates are verified on
// every processor.
func (im *importing) check(m *Manufacturer) {
	im.rows = im.v.checkedRows(im.r)
	known := im.rows != nil
	if !known {
		im.rows = make([]importRow, len(im.r.Devices))
	}
	var next atomic.Int64
	work := func() {
		const part = 32
		for end := int(next.Add(part)); end-part < len(im.rows); end = int(next.Add(part)) {
			for i := end - part; i < min(end, len(im.rows)); i++ {
				d := &im.r.Devices[i]
				if !known || d.IDevID == nil {
					im.rows[i] = m.importRow(d, im.at)
				} else if err := checkDetails(d); err != nil {
					im.rows[i].err = err
				}
			}
		}
	}
	var wg sync.WaitGroup
	if im.r.Devices[0].IDevID != nil && !known {
		for range runtime.GOMAXPROCS(0) - 1 {
			wg.Go(work)
		}
	}
	work()
	wg.Wait()
	seen := make(map[string]struct{}, len(im.rows))
	for i := range im.rows {
		d, row := &im.r.Devices[i], &im.rows[i]
		if _, twice := seen[row.serial]; twice && row.err == nil {
			row.err = errors.New("is there twice")
		}
		seen[row.serial] = struct{}{}
		for _, err := range []error{row.err, im.v.checkOwner(d)} {
			if err != nil {
				im.out.Problems = append(im.out.Problems, ImportProblem{Index: i, SerialNumber: d.SerialNumber, Text: err.Error()})
			}
		}
	}
}

func (m *Manufacturer) importRow(d *ImportDevice, at time.Time) importRow {
	if err := checkDetails(d); err != nil {
		return importRow{err: err}
	}
	if d.IDevID == nil {
		switch {
		case d.SerialNumber == "":
			return importRow{err: errors.New("has neither serial number nor IDevID")}
		case len(d.SerialNumber) > maxUser || ascii(d.SerialNumber) != d.SerialNumber:
			return importRow{err: errors.New("has a serial number that is too long or not printable ASCII")}
		}
		return importRow{serial: d.SerialNumber, module: d.HardwareModule}
	}
	cert, err := x509.ParseCertificate(d.IDevID)
	if err != nil {
		return importRow{err: fmt.Errorf("has an IDevID that cannot be read: %w", err)}
	}
	if _, err := cert.Verify(m.options(cert, at)); err != nil {
		return importRow{err: fmt.Errorf("has an IDevID whose issuer is not among the manufacturer's anchors (an intermediate CA has to be listed there): %w", err)}
	}
	serial, err := voucher.SerialNumber(cert)
	module := HardwareModule(cert)
	switch {
	case err != nil:
		return importRow{err: err}
	case d.SerialNumber != "" && d.SerialNumber != serial:
		return importRow{err: fmt.Errorf("has an IDevID of the serial number %q", serial)}
	case module == "":
		module = d.HardwareModule
	case d.HardwareModule != "" && d.HardwareModule != module:
		return importRow{err: fmt.Errorf("has an IDevID of the hardware module %q", module)}
	}
	return importRow{serial: serial, module: module}
}

// checkDetails says what of a device cannot be kept.
func checkDetails(d *ImportDevice) error {
	for _, f := range []struct{ name, value string }{
		{"model", d.Model}, {"firmware", d.Firmware}, {"batch", d.Batch},
		{"hardware module", d.HardwareModule}, {"secure element", d.SecureElement}, {"TPM", d.TPM},
	} {
		if len(f.value) > MaxDetail || !plainText(f.value) {
			return fmt.Errorf("has a %s that is longer than %d bytes or not plain text", f.name, MaxDetail)
		}
	}
	switch {
	case d.HardwareModule != "" && !isModule(d.HardwareModule):
		return fmt.Errorf("has the hardware module %.100q; want its type as dotted numbers, a colon and its serial number in lower-case hex", d.HardwareModule)
	case d.TPM != "" && (len(d.TPM) != 2*sha256.Size || !isHex(d.TPM)):
		return errors.New("has a TPM that is not the SHA-256 of its endorsement key in lower-case hex")
	case len(d.Attributes) > MaxAttributes:
		return fmt.Errorf("has %d attributes; at most %d are kept", len(d.Attributes), MaxAttributes)
	}
	for name, value := range d.Attributes {
		if name == "" || len(name) > MaxAttributeKey || len(value) > MaxAttributeValue || !plainText(name) || !plainText(value) {
			return fmt.Errorf("has an attribute %.64q whose name is empty or over %d bytes, whose value is over %d bytes, or that is not plain text",
				name, MaxAttributeKey, MaxAttributeValue)
		}
	}
	return nil
}

// plainText tells whether text is UTF-8 that shows as what it is: no control
// characters, and none that change the direction of others.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == '\ufeff'
	})
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && strings.ToLower(s) == s
}

func isModule(s string) bool {
	kind, serial, ok := strings.Cut(s, ":")
	if !ok || !isHex(serial) || !strings.Contains(kind, ".") {
		return false
	}
	for arc := range strings.SplitSeq(kind, ".") {
		if arc == "" || strings.Trim(arc, "0123456789") != "" || len(arc) > 1 && arc[0] == '0' {
			return false
		}
	}
	return true
}
