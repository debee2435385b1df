package masa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// MaxImport is the most devices that one import takes: they are one
// transaction and one entry of the trail.
const MaxImport = 5000

// Import is a list of devices that were built.
type Import struct {
	Product string         `json:"product"` // name in the settings
	Batch   string         `json:"batch,omitempty"`
	Devices []ImportDevice `json:"devices"`           // at most MaxImport
	DryRun  bool           `json:"dry_run,omitempty"` // report, and change nothing
	By      string         `json:"by"`                // who did it, such as "cli:root"
}

// ImportDevice is one device: a serial number, an IDevID certificate, or both.
type ImportDevice struct {
	SerialNumber string `json:"serial_number,omitempty"` // empty to take it from IDevID
	IDevID       []byte `json:"idevid,omitempty"`        // DER; only this certificate is taken from the device then
	// KeyHash is the SHA-256 of the SubjectPublicKeyInfo of the IDevID, 32
	// bytes: only a certificate with that key is taken from the device then.
	KeyHash []byte    `json:"key_sha256,omitempty"`
	Batch   string    `json:"batch,omitempty"`   // empty for that of the import
	BuiltAt time.Time `json:"built_at,omitzero"` // zero for unknown
}

// ImportReport says what an import did. With a problem in any row nothing is
// imported.
type ImportReport struct {
	Applied   bool            `json:"applied"`
	Added     int             `json:"added"`
	Changed   int             `json:"changed"`   // got an IDevID, a key, a batch or a day that was not on record before
	Unchanged int             `json:"unchanged"` // were on record already
	Problems  []ImportProblem `json:"problems,omitempty"`
}

// ImportProblem says why a row cannot be imported.
type ImportProblem struct {
	Row          int    `json:"row"` // from 1
	SerialNumber string `json:"serial_number,omitempty"`
	Problem      string `json:"problem"`
}

// ImportDevices puts devices on record, all or none: the report names every
// row that stands in the way. Importing a list again is safe.
func (s *Service) ImportDevices(ctx context.Context, in *Import) (*ImportReport, error) {
	settings := s.settings.Load()
	product, ok := settings.Products[in.Product]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: no product %q is configured; there is %s", ErrInvalid, in.Product,
			strings.Join(settings.productNames(), ", "))
	case len(in.Devices) == 0 || len(in.Devices) > MaxImport:
		return nil, fmt.Errorf("%w: %d devices, want 1 to %d", ErrInvalid, len(in.Devices), MaxImport)
	case len(in.Batch) > maxText:
		return nil, fmt.Errorf("%w: a batch name of %d bytes, at most %d are kept", ErrInvalid, len(in.Batch), maxText)
	}
	im := &importing{
		Import: in, domain: settings.Domain, anchors: product.IDevIDAnchors, at: s.now().UTC(),
		report: &ImportReport{}, seen: make(map[string]bool, len(in.Devices)),
	}
	im.checkForms()
	s.imports.Lock()
	defer s.imports.Unlock()
	im.ids = newIDs(im.at, len(in.Devices))
	for i := range in.Devices {
		if err := im.row(ctx, s.store, i); err != nil {
			return nil, err
		}
	}
	if len(im.report.Problems) > 0 || in.DryRun {
		return im.report, nil
	}
	if len(im.put) > 0 {
		if err := s.store.Commit(ctx, im.change()); err != nil {
			return nil, fmt.Errorf("import of %d devices: %w", len(im.put), err)
		}
	}
	im.report.Applied = true
	return im.report, nil
}

// importing is one import under way.
type importing struct {
	*Import
	domain  string
	anchors *x509.CertPool
	at      time.Time
	report  *ImportReport
	forms   []importForm    // by row
	seen    map[string]bool // serial numbers
	ids     []string        // for new devices, by row
	put     []*Device
}

// importForm is what a row says, as far as it can be told without the record.
type importForm struct {
	ImportDevice
	signed  []byte // as in [Device].IDevIDSigned
	problem string // "" for none
}

func (im *importing) problem(i int, serial, format string, args ...any) {
	im.report.Problems = append(im.report.Problems, ImportProblem{Row: i + 1, SerialNumber: serial, Problem: fmt.Sprintf(format, args...)})
}

// checkForms checks what each row says, all processors at once: a certificate
// costs the verification of a signature.
func (im *importing) checkForms() {
	im.forms = make([]importForm, len(im.Devices))
	workers := min(runtime.GOMAXPROCS(0), len(im.forms))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(im.forms); i += workers {
				im.forms[i].ImportDevice = im.Devices[i]
				im.forms[i].problem = im.checkForm(&im.forms[i])
			}
		})
	}
	wg.Wait()
}

// checkForm checks one row and completes it from its certificate. It returns
// what is wrong, or "".
func (im *importing) checkForm(row *importForm) string {
	if row.Batch == "" {
		row.Batch = im.Batch
	}
	switch problem := im.checkIDevID(row); {
	case problem != "":
		return problem
	case !usable(row.SerialNumber):
		return "the serial number is empty, longer than 256 bytes or has control characters"
	case len(row.KeyHash) != 0 && len(row.KeyHash) != sha256.Size:
		return fmt.Sprintf("a key hash of %d bytes; it is the SHA-256 of the SubjectPublicKeyInfo, %d bytes", len(row.KeyHash), sha256.Size)
	case len(row.Batch) > maxText:
		return fmt.Sprintf("a batch name of %d bytes, at most %d are kept", len(row.Batch), maxText)
	}
	return ""
}

// checkIDevID checks the certificate, where there is one, and takes the serial
// number from it. It returns what is wrong, or "".
func (im *importing) checkIDevID(row *importForm) string {
	if len(row.IDevID) == 0 {
		return ""
	}
	cert, err := x509.ParseCertificate(row.IDevID)
	if err != nil {
		return "the IDevID certificate cannot be read: " + err.Error()
	}
	serial, err := voucher.SerialNumber(cert)
	switch {
	case err != nil:
		return err.Error()
	case row.SerialNumber != "" && row.SerialNumber != serial:
		return fmt.Sprintf("the IDevID certificate is for serial number %q", serial)
	case len(row.KeyHash) > 0 && !hasKey(cert, row.KeyHash):
		return "the IDevID certificate has another key than the key hash says"
	}
	row.SerialNumber = serial
	chains, err := chainsTo(withoutNames(cert), im.anchors, nil, im.at)
	// An issuing CA that the list does not hold is shown by the device later.
	if err != nil && !errors.As(err, new(x509.UnknownAuthorityError)) {
		return "the IDevID certificate does not verify: " + err.Error()
	}
	row.signed = signedBy(chains, row.IDevID)
	return ""
}

// row sorts a device into what is new, changed and there already. An error is
// the store's.
func (im *importing) row(ctx context.Context, devices Devices, i int) error {
	row := &im.forms[i]
	switch {
	case row.problem != "":
		im.problem(i, row.SerialNumber, "%s", row.problem)
		return nil
	case im.seen[row.SerialNumber]:
		im.problem(i, row.SerialNumber, "the serial number is in the list twice")
		return nil
	}
	im.seen[row.SerialNumber] = true
	d, err := devices.DeviceBySerialNumber(ctx, im.domain, im.Product, row.SerialNumber)
	switch {
	case errors.Is(err, ErrNotFound):
		im.report.Added++
		im.put = append(im.put, &Device{
			ID: im.ids[i], Domain: im.domain, Product: im.Product, SerialNumber: row.SerialNumber, State: Known,
			IDevID: row.IDevID, IDevIDSigned: row.signed, KeyHash: row.KeyHash, Batch: row.Batch, BuiltAt: row.BuiltAt.UTC(), Source: "import", CreatedAt: im.at,
		})
		return nil
	case err != nil:
		return fmt.Errorf("device %q: %w", row.SerialNumber, err)
	}
	changed, problem := row.merge(d)
	switch {
	case problem != "":
		im.problem(i, row.SerialNumber, "%s", problem)
	case changed:
		im.report.Changed++
		im.put = append(im.put, d)
	default:
		im.report.Unchanged++
	}
	return nil
}

// merge adds to the device on record what the row knows better. What a device
// is known by does not change.
func (row *importForm) merge(d *Device) (changed bool, problem string) {
	if len(row.IDevID) > 0 && !bytes.Equal(row.IDevID, d.IDevID) {
		if len(d.IDevID) > 0 {
			return false, "another IDevID certificate is on record for this device"
		}
		if cert, err := x509.ParseCertificate(row.IDevID); err != nil || len(d.KeyHash) > 0 && !hasKey(cert, d.KeyHash) {
			return false, "an IDevID with another key is on record for this device"
		}
		d.IDevID, changed = row.IDevID, true
	}
	if len(row.signed) > 0 && !bytes.Equal(row.signed, d.IDevIDSigned) { // of the certificate that is on record now
		d.IDevIDSigned, changed = row.signed, true
	}
	if len(row.KeyHash) > 0 && !bytes.Equal(row.KeyHash, d.KeyHash) {
		known := len(d.KeyHash) > 0
		if cert, err := x509.ParseCertificate(d.IDevID); err == nil && !hasKey(cert, row.KeyHash) {
			known = true
		}
		if known {
			return false, "an IDevID with another key is on record for this device"
		}
		d.KeyHash, changed = row.KeyHash, true
	}
	if d.Batch == "" && row.Batch != "" {
		d.Batch, changed = row.Batch, true
	}
	if !row.BuiltAt.IsZero() && !row.BuiltAt.Equal(d.BuiltAt) {
		d.BuiltAt, changed = row.BuiltAt.UTC(), true
	}
	return changed, ""
}

func hasKey(cert *x509.Certificate, hash []byte) bool {
	key := keyHash(cert)
	return bytes.Equal(key[:], hash)
}

// change is the whole import. The trail's entry covers every row.
func (im *importing) change() *Change {
	return &Change{
		PutDevices: im.put,
		Trail: []*trail.Entry{{
			At: im.at, Domain: im.domain, Kind: KindDevicesImported, Actor: actor(im.By),
			Body: body{
				"product": im.Product, "batch": im.Batch, "added": im.report.Added, "changed": im.report.Changed,
				"first": im.put[0].SerialNumber, "last": im.put[len(im.put)-1].SerialNumber,
			}.json(),
		}},
	}
}

// usable tells whether a serial number may be on record (package voucher takes
// no other from a certificate or a leaf).
func usable(serial string) bool {
	const limit = 256
	return serial != "" && len(serial) <= limit && utf8.ValidString(serial) && !strings.ContainsFunc(serial, func(r rune) bool {
		return r < 0x20 || 0x7f <= r && r <= 0x9f
	})
}
