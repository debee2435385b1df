package registrar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// ImportRequest brings serial numbers of one manufacturer into the inventory.
type ImportRequest struct {
	Domain       string
	Actor        string
	Manufacturer string // name in the configuration
	Devices      []ImportDevice
	DryRun       bool // report only
}

// ImportDevice is one device. With an IDevID the serial number may be empty.
type ImportDevice struct {
	SerialNumber string // RFC 8995, Section 2.3.1
	IDevID       []byte // DER; nil for none
	// Owner is whose it is, by name in Cloud.Owners; "" for nobody's. Nil leaves that as it is.
	Owner *string
}

// ImportResult says what an import did.
type ImportResult struct {
	Added    int
	Known    int // on record before
	Given    int // that have another owner now
	Problems []ImportProblem
}

// ImportProblem is one device that cannot be imported.
type ImportProblem struct {
	Index        int // in ImportRequest.Devices, from 0
	SerialNumber string
	Text         string
}

// maxImport bounds one call; callers with more send batches.
const maxImport = 10000

// ImportDevices imports all devices or, when one has a problem, none: the
// result then lists the problems and the error wraps [ErrInvalid]. Devices on
// record are left as they are, but for the IDevID: one that is imported takes
// the place of another on record, and its holder is then the device. At most 10000 a call; each 500 are one
// transaction, so that after a failure of the store the same call goes on.
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
	case len(r.Devices) > maxImport:
		return nil, invalid("%d devices in one call; send at most %d", len(r.Devices), maxImport)
	}
	out := &ImportResult{}
	serials := v.checkImport(m, r, s.now(), out)
	if len(out.Problems) > 0 {
		return out, invalid("%d of %d devices cannot be imported; nothing was", len(out.Problems), len(r.Devices))
	}
	const batch = 500
	for start := 0; start < len(serials); start += batch {
		end := min(start+batch, len(serials))
		if err := s.importBatch(ctx, v, r, serials[start:end], r.Devices[start:end], out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// checkImport returns the serial numbers, and notes each problem.
func (v *version) checkImport(m *Manufacturer, r *ImportRequest, at time.Time, out *ImportResult) []string {
	serials := make([]string, len(r.Devices))
	seen := make(map[string]bool, len(r.Devices))
	for i, d := range r.Devices {
		serial, err := m.importSerial(&d, at)
		if err == nil && seen[serial] {
			err = errors.New("is there twice")
		}
		if err != nil {
			out.Problems = append(out.Problems, ImportProblem{Index: i, SerialNumber: d.SerialNumber, Text: err.Error()})
		}
		if err := v.checkOwner(&d); err != nil {
			out.Problems = append(out.Problems, ImportProblem{Index: i, SerialNumber: d.SerialNumber, Text: err.Error()})
		}
		seen[serial], serials[i] = true, serial
	}
	return serials
}

func (m *Manufacturer) importSerial(d *ImportDevice, at time.Time) (string, error) {
	if d.IDevID == nil {
		switch {
		case d.SerialNumber == "":
			return "", errors.New("has neither serial number nor IDevID")
		case len(d.SerialNumber) > maxUser || ascii(d.SerialNumber) != d.SerialNumber:
			return "", errors.New("has a serial number that is too long or not printable ASCII")
		}
		return d.SerialNumber, nil
	}
	cert, err := x509.ParseCertificate(d.IDevID)
	if err != nil {
		return "", fmt.Errorf("has an IDevID that cannot be read: %w", err)
	}
	if _, err := cert.Verify(m.options(cert, at)); err != nil {
		return "", fmt.Errorf("has an IDevID whose issuer is not among the manufacturer's anchors (an intermediate CA has to be listed there): %w", err)
	}
	serial, err := voucher.SerialNumber(cert)
	switch {
	case err != nil:
		return "", err
	case d.SerialNumber != "" && d.SerialNumber != serial:
		return "", fmt.Errorf("has an IDevID of the serial number %q", serial)
	}
	return serial, nil
}

func (s *Service) importBatch(ctx context.Context, v *version, r *ImportRequest, serials []string, devices []ImportDevice, out *ImportResult) error {
	change := &Change{}
	at, added, known := s.now().UTC(), 0, 0
	for i, serial := range serials {
		device, err := found(s.store.DeviceBySerialNumber(ctx, v.Domain, r.Manufacturer, serial))
		switch {
		case err != nil:
			return err
		case device == nil:
			added++
			device = &Device{
				ID: NewID(at), Domain: v.Domain, Manufacturer: r.Manufacturer, SerialNumber: serial, State: Expected,
				IDevID: devices[i].IDevID, Source: "import", CreatedAt: at,
			}
			s.PlaceImported(device)
			change.PutDevices = append(change.PutDevices, device)
		default:
			known++
			if r.DryRun {
				break
			}
			if err := s.replaceIDevID(ctx, v, r.Actor, device, devices[i].IDevID); err != nil {
				return err
			}
		}
		if err := s.give(ctx, v, r.Actor, change, device, devices[i].Owner); err != nil {
			return err
		}
	}
	if added > 0 {
		b := newBody().str("manufacturer", r.Manufacturer).num("added", added).num("known", known).
			str("first", change.PutDevices[0].SerialNumber).str("last", change.PutDevices[added-1].SerialNumber)
		change.Trail = append(change.Trail, s.act(v, r.Actor, KindDevicesImported, "", b))
	}
	if len(change.Trail) > 0 && !r.DryRun {
		if err := s.store.Commit(ctx, change); err != nil {
			return fmt.Errorf("import after %d devices: %w", out.Added, err)
		}
	}
	out.Added += added
	out.Known += known
	out.Given += len(change.PutOwners)
	return nil
}

// replaceIDevID puts an IDevID in the place of the one on record.
func (s *Service) replaceIDevID(ctx context.Context, v *version, actor string, device *Device, idevid []byte) error {
	if idevid == nil || bytes.Equal(device.IDevID, idevid) {
		return nil
	}
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.store.Device(ctx, v.Domain, device.ID)
	if err != nil {
		return err
	}
	changed := *now
	changed.IDevID = idevid
	before, after := sha256.Sum256(now.IDevID), sha256.Sum256(idevid)
	b := newBody().str("manufacturer", device.Manufacturer).str("serial_number", device.SerialNumber).
		hex("idevid_before_sha256", before[:]).hex("idevid_sha256", after[:])
	change := &Change{PutDevices: []*Device{&changed}, Trail: []*trail.Entry{s.act(v, actor, KindDevicesImported, device.ID, b)}}
	if err := s.store.Commit(ctx, change); err != nil {
		return fmt.Errorf("import the IDevID of %q: %w", device.SerialNumber, err)
	}
	return nil
}
