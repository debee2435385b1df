package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/briskest/briskest/registrar"
)

const (
	deviceBefore = "devices.domain, devices.id, manufacturer, serial_number, state, source, created_at, seen_at, "
	deviceAfter  = ", model, firmware, batch, hardware_module, secure_element, tpm, attributes, group_name, group_pinned"
	// deviceIDevID is the IDevID of a row of devices, beside which it is kept.
	deviceIDevID  = "iif(idevid_hash IS NULL, NULL, (SELECT raw FROM idevids WHERE idevids.row = devices.row))"
	deviceColumns = deviceBefore + deviceIDevID + deviceAfter

	selectDevice = "SELECT " + deviceColumns + " FROM devices "
)

// whereIDevID is served by an index that has no other devices.
const whereIDevID = "INDEXED BY devices_idevid WHERE domain = ? AND serial_number = ? COLLATE NOCASE AND manufacturer <> ''"

func scanDevice(row scanner) (*registrar.Device, error) {
	var d registrar.Device
	var state, attributes string
	err := row.Scan(&d.Domain, &d.ID, &d.Manufacturer, &d.SerialNumber, &state, &d.Source, &d.CreatedAt, &d.SeenAt, &d.IDevID,
		&d.Model, &d.Firmware, &d.Batch, &d.HardwareModule, &d.SecureElement, &d.TPM, &attributes, &d.Group, &d.GroupPinned)
	if err != nil {
		return nil, notFound(err)
	}
	if attributes != "" {
		if err := json.Unmarshal([]byte(attributes), &d.Attributes); err != nil {
			return nil, fmt.Errorf("attributes of device %s: %w", d.ID, err)
		}
	}
	d.State = registrar.DeviceState(state)
	return &d, nil
}

// Device implements registrar.Devices.
func (s *Store) Device(ctx context.Context, domain, id string) (*registrar.Device, error) {
	return pointed(s.caches.devices.Read(domain, id, func() (registrar.Device, error) {
		return valued(scanDevice(s.db.QueryRow(ctx, selectDevice+"WHERE domain = ? AND id = ?", domain, id)))
	}))
}

// DeviceBySerialNumber implements registrar.Devices. What is kept is the ID
// alone, and only as long as the row of that ID has the name.
func (s *Store) DeviceBySerialNumber(ctx context.Context, domain, manufacturer, serialNumber string) (*registrar.Device, error) {
	var row *registrar.Device
	fetch := func() (id string, err error) {
		row, err = scanDevice(s.db.QueryRow(ctx, selectDevice+
			"WHERE domain = ? AND serial_number = ? AND manufacturer = ?", domain, serialNumber, manufacturer))
		if err != nil {
			return "", err
		}
		return row.ID, nil
	}
	id, err := s.caches.ids.Read(domain, deviceName(manufacturer, serialNumber), fetch)
	if err != nil || row != nil {
		return row, err
	}
	kept, err := s.Device(ctx, domain, id)
	if err == nil && kept.Manufacturer == manufacturer && kept.SerialNumber == serialNumber {
		return kept, nil
	}
	if _, err := fetch(); err != nil {
		return nil, err
	}
	return row, nil
}

// FindDevices implements registrar.Devices.
func (s *Store) FindDevices(ctx context.Context, domain, serialNumber string) ([]*registrar.Device, error) {
	return list(ctx, s, scanDevice, selectDevice+"WHERE domain = ? AND serial_number = ? ORDER BY manufacturer",
		domain, serialNumber)
}

// FindIDevIDs implements registrar.Devices.
func (s *Store) FindIDevIDs(ctx context.Context, domain, serialNumber string) ([]*registrar.Device, error) {
	return list(ctx, s, scanDevice, selectDevice+whereIDevID+" ORDER BY manufacturer, serial_number", domain, serialNumber)
}

// ListDevices implements registrar.Devices.
func (s *Store) ListDevices(ctx context.Context, domain, after string, limit int) ([]*registrar.Device, error) {
	return list(ctx, s, scanDevice, selectDevice+"WHERE domain = ? AND id > ? ORDER BY id LIMIT ?", domain, after, limit)
}
