-- +goose Up

-- Times are microseconds since 1970 UTC, 0 for never. Every row is covered by
-- the trail: change one by hand and `briskest trail verify` says so.

CREATE TABLE devices (
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    product       TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    idevid        BLOB,
    batch         TEXT NOT NULL,
    source        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    blocked_at    INTEGER NOT NULL
);
CREATE UNIQUE INDEX devices_id ON devices (domain, id);
CREATE UNIQUE INDEX devices_serial_number ON devices (domain, serial_number, product);

CREATE TABLE owners (
    domain      TEXT NOT NULL,
    id          TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    key_hash    BLOB,
    fingerprint BLOB,
    domain_id   BLOB,
    since       INTEGER NOT NULL,
    until       INTEGER NOT NULL
);
CREATE UNIQUE INDEX owners_id ON owners (domain, id);
CREATE INDEX owners_device ON owners (domain, device_id, id);

CREATE TABLE vouchers (
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    device_id     TEXT NOT NULL,
    product       TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    assertion     TEXT NOT NULL,
    nonce         TEXT NOT NULL,
    domain_id     BLOB,
    pinned        BLOB,
    pinned_key    BLOB NOT NULL,
    request       BLOB,
    request_hash  BLOB NOT NULL,
    media_type    TEXT NOT NULL,
    address       TEXT NOT NULL,
    version       TEXT NOT NULL,
    at            INTEGER NOT NULL,
    expires_on    INTEGER NOT NULL,
    -- What follows comes after the intent.
    state         TEXT NOT NULL DEFAULT 'intended',
    reason        TEXT NOT NULL DEFAULT '',
    voucher       BLOB
);
CREATE UNIQUE INDEX vouchers_id ON vouchers (domain, id);
-- Never two vouchers for one nonce of a device.
CREATE UNIQUE INDEX vouchers_nonce ON vouchers (domain, device_id, nonce) WHERE nonce <> '';
CREATE INDEX vouchers_device ON vouchers (domain, device_id, id);
CREATE INDEX vouchers_request ON vouchers (domain, request_hash);
CREATE INDEX vouchers_intended ON vouchers (id) WHERE state = 'intended';
