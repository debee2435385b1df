-- +goose Up

-- Whoever enrolls by name must not get the serial number of a device with an
-- IDevID, however its letters are written. Devices without one are not in the
-- index: enrolling by name does not pay for it.
CREATE INDEX devices_idevid ON devices (domain, serial_number COLLATE NOCASE) WHERE manufacturer <> '';
