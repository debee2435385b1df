package store

import (
	"encoding/json"

	"github.com/briskest/briskest/registrar"
)

const (
	// insertDevice does nothing where the ID is on record.
	insertDevice = `INSERT INTO devices (domain, id, manufacturer, serial_number, state, source, created_at, seen_at, idevid_hash,
		model, firmware, batch, hardware_module, secure_element, tpm, attributes, group_name, group_pinned)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (domain, id) DO NOTHING`
	// moveDevice changes what most changes are about, of a device that is the same
	// otherwise: it touches no index of the others. The signs keep SQLite from
	// looking for the row by another index than that of the ID.
	moveDevice = `UPDATE devices SET state = ?, seen_at = ? WHERE domain = ? AND id = ? AND +manufacturer IS ? AND +serial_number IS ?
		AND +source IS ? AND +created_at IS ? AND +idevid_hash IS ? AND +model IS ? AND +firmware IS ? AND +batch IS ?
		AND +hardware_module IS ? AND +secure_element IS ? AND +tpm IS ? AND +attributes IS ? AND +group_name IS ? AND +group_pinned IS ?`
	updateDevice = `UPDATE devices SET manufacturer = ?, serial_number = ?, state = ?, source = ?, created_at = ?, seen_at = ?,
		idevid_hash = ?, model = ?, firmware = ?, batch = ?, hardware_module = ?, secure_element = ?, tpm = ?, attributes = ?,
		group_name = ?, group_pinned = ? WHERE domain = ? AND id = ?`

	insertIDevID  = "INSERT INTO idevids (row, raw) VALUES (last_insert_rowid(), ?)"
	replaceIDevID = `INSERT INTO idevids (row, raw) SELECT row, ? FROM devices WHERE domain = ? AND id = ?
		ON CONFLICT (row) DO UPDATE SET raw = excluded.raw`
	dropIDevID = "DELETE FROM idevids WHERE row = (SELECT row FROM devices WHERE domain = ? AND id = ?)"
)

// device inserts or replaces by ID.
func (w writer) device(d *registrar.Device) error {
	attributes, err := attributesText(d.Attributes)
	if err != nil {
		return err
	}
	hash := idevidHash(d)
	if _, kept := w.caches.devices.Kept(d.Domain, d.ID); kept || d.Manufacturer != "" && !d.SeenAt.IsZero() { // on record, most likely
		n, err := w.tx.Exec(moveDevice, string(d.State), d.SeenAt, d.Domain, d.ID, d.Manufacturer, d.SerialNumber, d.Source, d.CreatedAt,
			hash, d.Model, d.Firmware, d.Batch, d.HardwareModule, d.SecureElement, d.TPM, attributes, d.Group, d.GroupPinned)
		if err != nil {
			return err
		}
		if n > 0 {
			return w.coverDevice(d)
		}
	}
	n, err := w.tx.Exec(insertDevice, d.Domain, d.ID, d.Manufacturer, d.SerialNumber, string(d.State), d.Source, d.CreatedAt, d.SeenAt,
		hash, d.Model, d.Firmware, d.Batch, d.HardwareModule, d.SecureElement, d.TPM, attributes, d.Group, d.GroupPinned)
	switch {
	case err != nil:
		return err
	case n == 0:
		return w.replaceDevice(d, hash, attributes)
	}
	w.added.add(d)
	if hash != nil {
		if _, err := w.tx.Exec(insertIDevID, d.IDevID); err != nil {
			return err
		}
	}
	if hasDetails(d) {
		if err := w.coverDetails(d, attributes); err != nil {
			return err
		}
	}
	return w.coverDevice(d)
}

// replaceDevice writes all of a row that is there, but for the group, which stays.
func (w writer) replaceDevice(d *registrar.Device, hash []byte, attributes string) error {
	now, _, err := w.details(d.Domain, d.ID)
	if err != nil {
		return err
	}
	if now.Group != d.Group || now.GroupPinned != d.GroupPinned {
		kept := *d
		kept.Group, kept.GroupPinned = now.Group, now.GroupPinned
		d = &kept
		*w.kept = append(*w.kept, d)
	}
	_, err = w.tx.Exec(updateDevice, d.Manufacturer, d.SerialNumber, string(d.State), d.Source, d.CreatedAt, d.SeenAt, hash,
		d.Model, d.Firmware, d.Batch, d.HardwareModule, d.SecureElement, d.TPM, attributes, d.Group, d.GroupPinned, d.Domain, d.ID)
	if err != nil {
		return err
	}
	if hash == nil {
		_, err = w.tx.Exec(dropIDevID, d.Domain, d.ID)
	} else {
		_, err = w.tx.Exec(replaceIDevID, d.IDevID, d.Domain, d.ID)
	}
	if err != nil {
		return err
	}
	if err := w.coverDetails(d, attributes); err != nil {
		return err
	}
	return w.coverDevice(d)
}

func (w writer) coverDevice(d *registrar.Device) error {
	return w.tx.Cover(w.t.devices, d.Domain, d.ID, d.Manufacturer, d.SerialNumber, string(d.State), d.Source,
		d.CreatedAt, d.SeenAt, d.IDevID)
}

func (w writer) coverDetails(d *registrar.Device, attributes string) error {
	return w.tx.Cover(w.t.details, d.Domain, d.ID, d.Model, d.Firmware, d.Batch, d.HardwareModule, d.SecureElement, d.TPM,
		attributes, d.Group, d.GroupPinned)
}

// hasDetails tells whether anything differs from the details that a row has at first.
func hasDetails(d *registrar.Device) bool {
	return d.Model != "" || d.Firmware != "" || d.Batch != "" || d.HardwareModule != "" || d.SecureElement != "" || d.TPM != "" ||
		len(d.Attributes) > 0 || d.Group != "" || d.GroupPinned
}

// attributesText is a JSON object with sorted members, "" for none.
func attributesText(attributes map[string]string) (string, error) {
	if len(attributes) == 0 {
		return "", nil
	}
	text, err := json.Marshal(attributes)
	return string(text), err
}
