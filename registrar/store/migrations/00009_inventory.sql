-- +goose Up

-- What is known of a device beyond its name, and a shape for a million of them:
-- indexes name a row by its number, and the certificates that the devices came
-- with are kept beside the rows that lists go through.
--
-- The trail covers "devices" as before, by way of a view, and the columns that
-- are new under a label of their own: rows from before have none of them.

ALTER TABLE devices RENAME TO devices_before;
DROP INDEX devices_serial_number;
DROP INDEX devices_idevid;

CREATE TABLE devices (
    row             INTEGER PRIMARY KEY,
    domain          TEXT NOT NULL,
    id              TEXT NOT NULL,
    manufacturer    TEXT NOT NULL,
    serial_number   TEXT NOT NULL,
    state           TEXT NOT NULL,
    source          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    idevid_hash     BLOB, -- SHA-256 of the IDevID; NULL without one, x'00' of one from before
    model           TEXT NOT NULL DEFAULT '',
    firmware        TEXT NOT NULL DEFAULT '',
    batch           TEXT NOT NULL DEFAULT '',
    hardware_module TEXT NOT NULL DEFAULT '',
    secure_element  TEXT NOT NULL DEFAULT '',
    tpm             TEXT NOT NULL DEFAULT '',
    attributes      TEXT NOT NULL DEFAULT '', -- a JSON object, sorted; '' for none
    group_name      TEXT NOT NULL DEFAULT '',
    group_pinned    INTEGER NOT NULL DEFAULT 0
);

-- DER, by the row of the device.
CREATE TABLE idevids (
    row INTEGER PRIMARY KEY,
    raw BLOB NOT NULL
);

INSERT INTO devices (domain, id, manufacturer, serial_number, state, source, created_at, seen_at, idevid_hash)
SELECT domain, id, manufacturer, serial_number, state, source, created_at, seen_at, iif(idevid IS NULL, NULL, x'00')
FROM devices_before ORDER BY domain, id;
INSERT INTO idevids (row, raw) SELECT d.row, b.idevid FROM devices_before b JOIN devices d ON d.domain = b.domain AND d.id = b.id
WHERE b.idevid IS NOT NULL ORDER BY d.row;
DROP TABLE devices_before;

CREATE UNIQUE INDEX devices_id ON devices (domain, id);
CREATE UNIQUE INDEX devices_serial_number ON devices (domain, serial_number, manufacturer);
-- Whoever enrolls by name must not get the serial number of a device with an
-- IDevID, however its letters are written.
CREATE INDEX devices_idevid ON devices (domain, serial_number COLLATE NOCASE) WHERE manufacturer <> '';

-- What lists are asked for by. In each index the devices come in the order of
-- their rows, and one of a new device goes to the end of its value's.
CREATE INDEX devices_state ON devices (domain, state);
CREATE INDEX devices_manufacturer ON devices (domain, manufacturer);
CREATE INDEX devices_model ON devices (domain, model) WHERE model <> '';
CREATE INDEX devices_firmware ON devices (domain, firmware) WHERE firmware <> '';
CREATE INDEX devices_batch ON devices (domain, batch) WHERE batch <> '';
CREATE INDEX devices_group ON devices (domain, group_name) WHERE group_name <> '';
CREATE INDEX devices_hardware_module ON devices (domain, hardware_module) WHERE hardware_module <> '';
CREATE INDEX devices_secure_element ON devices (domain, secure_element) WHERE secure_element <> '';
CREATE INDEX devices_tpm ON devices (domain, tpm) WHERE tpm <> '';
CREATE INDEX devices_seen ON devices (domain, seen_at) WHERE seen_at <> 0;

-- Attributes again, to find devices by; kept by the triggers alone.
CREATE TABLE device_attributes (
    domain TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    row    INTEGER NOT NULL,
    PRIMARY KEY (domain, name, value, row)
) WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER devices_attributes_new AFTER INSERT ON devices WHEN new.attributes <> '' BEGIN
    INSERT INTO device_attributes (domain, name, value, row)
    SELECT new.domain, j.key, j.value, new.row FROM json_each(new.attributes) AS j;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER devices_attributes_changed AFTER UPDATE OF attributes ON devices WHEN new.attributes <> old.attributes BEGIN
    DELETE FROM device_attributes WHERE (domain, name, value, row) IN (
        SELECT old.domain, j.key, j.value, old.row FROM json_each(iif(old.attributes = '', '{}', old.attributes)) AS j);
    INSERT INTO device_attributes (domain, name, value, row)
    SELECT new.domain, j.key, j.value, new.row FROM json_each(iif(new.attributes = '', '{}', new.attributes)) AS j;
END;
-- +goose StatementEnd

CREATE VIEW device_records AS
SELECT domain, id, manufacturer, serial_number, state, source, created_at, seen_at,
    iif(idevid_hash IS NULL, NULL, (SELECT raw FROM idevids WHERE idevids.row = devices.row)) AS idevid
FROM devices;
