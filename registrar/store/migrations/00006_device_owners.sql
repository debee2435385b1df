-- +goose Up

-- Whose a device is, at a registrar that sends devices to their owners.
CREATE TABLE device_owners (
    domain    TEXT NOT NULL,
    device_id TEXT NOT NULL,
    owner     TEXT NOT NULL
);
CREATE UNIQUE INDEX device_owners_id ON device_owners (domain, device_id);
