-- +goose Up

-- Vouchers without a nonce that are asked for before their devices come.
CREATE TABLE vouchers_ahead (
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    device_id     TEXT NOT NULL,
    manufacturer  TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    renews        TEXT NOT NULL,
    at            INTEGER NOT NULL,
    ready_at      INTEGER NOT NULL,
    expires_on    INTEGER NOT NULL,
    renew_at      INTEGER NOT NULL,
    request       BLOB,
    voucher       BLOB,
    audit_log     BLOB
);
CREATE UNIQUE INDEX vouchers_ahead_id ON vouchers_ahead (domain, id);
CREATE INDEX vouchers_ahead_device ON vouchers_ahead (domain, device_id, id);
CREATE INDEX vouchers_ahead_due ON vouchers_ahead (domain, renew_at) WHERE state = 'ready' AND renew_at <> 0;
