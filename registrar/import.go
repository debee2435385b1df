package registrar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// ImportRequest brings devices of one manufacturer into the inventory.
type ImportRequest struct {
	Domain       string
	Actor        string
	Manufacturer string // name in the configuration
	Devices      []ImportDevice
	DryRun       bool // report only
	// Checked is ImportResult.Checked of a dry run with the same devices in the same
	// order: their IDevIDs are neither verified nor parsed once more. Anything else
	// does no harm.
	Checked []byte
	// Origin is where the rows are from, for the trail; nil for nowhere.
	Origin *ImportOrigin
}

// ImportOrigin says which rows of which file a batch is.
type ImportOrigin struct {
	File   string   // its name, without folders
	Format string   // "csv", "jsonl", "pem", "manifest"
	SHA256 [32]byte // of the whole file
	Rows   [32]byte // root of the Merkle tree over the rows of the batch (RFC 6962, Section 2.1), each as inventory.Row encodes it
	First  int      // row in the file, from 1
	Count  int
	Signer string // of a manifest: SHA-256 of the certificate, in hex
}

// ImportDevice is one device. With an IDevID the serial number may be empty.
// Details that are empty leave what is on record as it is.
type ImportDevice struct {
	SerialNumber string // RFC 8995, Section 2.3.1
	IDevID       []byte // DER; nil for none

	// These are as in Device. HardwareModule is that of the IDevID where there is one.
	Model          string
	Firmware       string
	Batch          string
	HardwareModule string
	SecureElement  string
	TPM            string
	Attributes     map[string]string

	// Owner is whose it is, by name in Cloud.Owners; "" for nobody's. Nil leaves that as it is.
	Owner *string
}

// ImportResult says what an import did, or would do.
type ImportResult struct {
	Added    int
	Known    int // on record before
	Changed  int // of these, have an IDevID or details now that they had not
	Given    int // that have another owner now
	Problems []ImportProblem
	Checked  []byte // of a dry run; see ImportRequest.Checked
	// Room is for how many further devices there was room before; nil for any number.
	Room *int
}

// ImportProblem is one device that cannot be imported.
type ImportProblem struct {
	Index        int // in ImportRequest.Devices, from 0
	SerialNumber string
	Text         string
}

// MaxImport is the most devices of one import; callers with more send batches.
const MaxImport = 10000

// ImportDevices imports all devices in one transaction or, when one has a
// problem, none: the result then lists the problems and the error wraps
// [ErrInvalid]. Devices on record keep what the import does not name; an IDevID
// that is imported takes the place of another on record, and its holder is then
// the device. Importing again is safe. At most [MaxImport] a call.
func (s *Service) ImportDevices(ctx context.Context, r *ImportRequest) (*ImportResult, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	m := v.Manufacturers[r.Manufacturer]
	switch {
	case m == nil:
		return nil, fmt.Errorf("manufacturer %q is not configured: %w", r.Manufacturer, ErrNotFound)
	case len(r.Devices) == 0:
		return nil, invalid("there are no devices to import")
	case len(r.Devices) > MaxImport:
		return nil, invalid("%d devices in one call; send at most %d", len(r.Devices), MaxImport)
	}
	out := &ImportResult{}
	im := &importing{s: s, v: v, r: r, at: s.now().UTC(), out: out}
	im.check(m)
	if len(out.Problems) > 0 {
		return out, invalid("%d of %d devices cannot be imported; nothing was", len(out.Problems), len(r.Devices))
	}
	if r.DryRun {
		out.Checked = v.checkedIDevIDs(r, im.rows)
	}
	const attempts = 3 // a device may come on record by itself meanwhile
	for range attempts {
		if err = im.run(ctx); !errors.Is(err, ErrConflict) {
			break
		}
	}
	return out, err
}

// importing is one import under way.
type importing struct {
	s    *Service
	v    *version
	r    *ImportRequest
	at   time.Time
	out  *ImportResult
	rows []importRow // of r.Devices, once checked
}

// run brings checked devices on record.
func (im *importing) run(ctx context.Context) error {
	serials := make([]string, len(im.rows))
	for i := range im.rows {
		serials[i] = im.rows[i].serial
	}
	known, err := im.known(ctx, serials)
	if err != nil {
		return err
	}
	unlock, locked, err := im.lockChanging(ctx, known)
	if err != nil {
		return err
	}
	defer unlock()
	if locked {
		if known, err = im.known(ctx, serials); err != nil { // as they are while nobody else changes them
			return err
		}
	}
	change, result := &Change{}, *im.out
	result.Added, result.Known, result.Changed, result.Given = 0, len(known), 0, 0
	for i := range im.rows {
		device := known[im.rows[i].serial]
		if device == nil {
			device = im.device(i)
			im.s.PlaceImported(device)
			change.AddDevices = append(change.AddDevices, device)
			result.Added++
		} else if changed := im.merged(device, i); changed != nil {
			change.PutDevices = append(change.PutDevices, changed)
			result.Changed++
		}
		if err := im.s.give(ctx, im.v, im.r.Actor, change, device, im.r.Devices[i].Owner); err != nil {
			return err
		}
	}
	result.Given = len(change.PutOwners)
	if change.Quota = im.v.quota(); change.Quota != nil && im.r.DryRun {
		if result.Room, err = im.s.room(ctx, change.Quota); err != nil {
			return err
		}
	}
	if err := im.commit(ctx, change, &result); err != nil {
		return err
	}
	*im.out = result
	return nil
}

func (im *importing) known(ctx context.Context, serials []string) (map[string]*Device, error) {
	devices, err := im.s.store.DevicesNamed(ctx, im.v.Domain, im.r.Manufacturer, serials)
	known := make(map[string]*Device, len(devices))
	for _, d := range devices {
		known[d.SerialNumber] = d
	}
	return known, err
}

// lockChanging locks the devices that the import changes, in the order of their
// keys: everybody else locks one at a time.
func (im *importing) lockChanging(ctx context.Context, known map[string]*Device) (unlock func(), locked bool, err error) {
	var keys []string
	for i := range im.rows {
		if d := known[im.rows[i].serial]; d != nil && !im.r.DryRun && im.merged(d, i) != nil {
			keys = append(keys, deviceKey(d.Manufacturer, d.SerialNumber))
		}
	}
	slices.Sort(keys)
	var held []func()
	unlock = func() {
		for _, f := range held {
			f()
		}
	}
	for _, key := range keys {
		f, err := im.s.devices.lock(ctx, key)
		if err != nil {
			unlock()
			return func() {}, false, err
		}
		held = append(held, f)
	}
	return unlock, len(keys) > 0, nil
}

// device is a new record. Identifiers of a batch sort as its rows do.
func (im *importing) device(i int) *Device {
	row := &im.r.Devices[i]
	at := im.at.Add(time.Duration(i) * time.Microsecond)
	return &Device{
		ID: NewID(at), Domain: im.v.Domain, Manufacturer: im.r.Manufacturer, SerialNumber: im.rows[i].serial, State: Expected,
		IDevID: row.IDevID, Source: "import", CreatedAt: im.at, Model: row.Model, Firmware: row.Firmware, Batch: row.Batch,
		HardwareModule: im.rows[i].module, SecureElement: row.SecureElement, TPM: row.TPM, Attributes: row.Attributes,
	}
}

// merged is the device on record with what the row says of it; nil if it is so already.
func (im *importing) merged(d *Device, i int) *Device {
	row, changed, c := &im.r.Devices[i], false, *d
	if row.IDevID != nil && string(row.IDevID) != string(d.IDevID) {
		c.IDevID, changed = row.IDevID, true
	}
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&c.Model, row.Model}, {&c.Firmware, row.Firmware}, {&c.Batch, row.Batch},
		{&c.HardwareModule, im.rows[i].module}, {&c.SecureElement, row.SecureElement}, {&c.TPM, row.TPM},
	} {
		if f.from != "" && f.from != *f.to {
			*f.to, changed = f.from, true
		}
	}
	for name, value := range row.Attributes {
		if has, ok := c.Attributes[name]; !ok || has != value {
			c.Attributes = maps.Clone(d.Attributes)
			if c.Attributes == nil {
				c.Attributes = make(map[string]string, len(row.Attributes))
			}
			maps.Copy(c.Attributes, row.Attributes)
			changed = true
			break
		}
	}
	if !changed {
		return nil
	}
	return &c
}

// commit puts all on record with one entry of the trail, which covers each row.
func (im *importing) commit(ctx context.Context, change *Change, result *ImportResult) error {
	for _, d := range change.PutDevices {
		if len(d.Attributes) > MaxAttributes {
			return invalid("device %q would have %d attributes; at most %d are kept", d.SerialNumber, len(d.Attributes), MaxAttributes)
		}
	}
	if len(change.AddDevices)+len(change.PutDevices) > 0 {
		change.Trail = append(change.Trail, im.entry(result))
	}
	if im.r.DryRun || len(change.Trail) == 0 {
		return nil
	}
	if err := im.s.store.Commit(ctx, change); err != nil {
		return fmt.Errorf("import %d devices: %w", len(im.rows), err)
	}
	return nil
}

func (im *importing) entry(result *ImportResult) *trail.Entry {
	b := newBody().str("manufacturer", im.r.Manufacturer).num("added", result.Added).num("changed", result.Changed).num("known", result.Known).
		str("first", im.rows[0].serial).str("last", im.rows[len(im.rows)-1].serial)
	if o := im.r.Origin; o != nil {
		b.str("file", o.File).str("format", o.Format).hex("file_sha256", o.SHA256[:]).hex("rows_root", o.Rows[:]).
			num("row", o.First).num("rows", o.Count).str("signer", o.Signer)
	}
	return im.s.act(im.v, im.r.Actor, KindDevicesImported, "", b)
}
