-- +goose Up

-- The outcome of an issuance stands in a table of its own, so that the intent,
-- with its request of some kilobytes, is written once and changes no more. An
-- issuance without an outcome is intended.
DROP TRIGGER vouchers_audited;
DROP INDEX vouchers_id;
DROP INDEX vouchers_nonce;
DROP INDEX vouchers_device;
DROP INDEX vouchers_request;
DROP INDEX vouchers_intended;
ALTER TABLE vouchers RENAME TO vouchers_before;

CREATE TABLE vouchers (
    seq           INTEGER PRIMARY KEY,
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    device_id     TEXT NOT NULL,
    product       TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    assertion     TEXT NOT NULL,
    nonce         TEXT NOT NULL,
    domain_id     BLOB,
    pinned_key    BLOB NOT NULL,
    request_hash  BLOB NOT NULL,
    media_type    TEXT NOT NULL,
    address       TEXT NOT NULL,
    version       TEXT NOT NULL,
    at            INTEGER NOT NULL,
    expires_on    INTEGER NOT NULL,
    pinned        BLOB,
    request       BLOB -- last: what comes before is read without it
);
INSERT INTO vouchers SELECT rowid, domain, id, device_id, product, serial_number, assertion, nonce, domain_id, pinned_key,
    request_hash, media_type, address, version, at, expires_on, pinned, request FROM vouchers_before;
CREATE UNIQUE INDEX vouchers_id ON vouchers (domain, id);
-- Never two vouchers for one nonce of a device.
CREATE UNIQUE INDEX vouchers_nonce ON vouchers (domain, device_id, nonce) WHERE nonce <> '';
CREATE INDEX vouchers_device ON vouchers (domain, device_id, id);
CREATE INDEX vouchers_request ON vouchers (domain, request_hash) WHERE length(nonce) = 0;

CREATE TABLE outcomes (
    seq     INTEGER PRIMARY KEY, -- of the voucher
    state   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    voucher BLOB
);
INSERT INTO outcomes SELECT rowid, state, reason, voucher FROM vouchers_before;
-- Outcomes as the trail names them.
CREATE VIEW voucher_outcomes AS
    SELECT v.domain, v.id, o.state, o.reason, o.voucher FROM outcomes o JOIN vouchers v ON v.seq = o.seq;

-- The issuances that are intended, so that finding them does not cost more for
-- every other. Triggers derive it, and `briskest trail verify` compares.
CREATE TABLE intended (seq INTEGER PRIMARY KEY);
INSERT INTO intended SELECT rowid FROM vouchers_before WHERE state = 'intended';

DROP TABLE vouchers_before;

-- +goose StatementBegin
CREATE TRIGGER vouchers_intended AFTER INSERT ON vouchers
BEGIN
    INSERT INTO intended VALUES (NEW.seq);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outcomes_reopened AFTER UPDATE OF state ON outcomes WHEN NEW.state = 'intended'
BEGIN
    INSERT INTO intended VALUES (NEW.seq) ON CONFLICT DO NOTHING;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outcomes_first AFTER INSERT ON outcomes WHEN NEW.state <> 'intended'
BEGIN
    DELETE FROM intended WHERE seq = NEW.seq;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outcomes_again AFTER UPDATE OF state ON outcomes WHEN NEW.state <> 'intended'
BEGIN
    DELETE FROM intended WHERE seq = NEW.seq;
END;
-- +goose StatementEnd

-- An issued voucher stays one, and its outcome changes no more.
-- +goose StatementBegin
CREATE TRIGGER outcomes_first_audited AFTER INSERT ON outcomes WHEN NEW.state = 'issued'
BEGIN
    INSERT INTO audited SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', id, 1
        FROM vouchers WHERE seq = NEW.seq
    ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outcomes_again_audited AFTER UPDATE OF state ON outcomes WHEN NEW.state = 'issued' AND OLD.state <> 'issued'
BEGIN
    INSERT INTO audited SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', id, 1
        FROM vouchers WHERE seq = NEW.seq
    ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest);
END;
-- +goose StatementEnd
