-- +goose Up

-- Times are microseconds since 1970 UTC, 0 for never. Every row is covered by
-- the trail: change one by hand and `briskest trail verify` says so.

CREATE TABLE devices (
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    manufacturer  TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    state         TEXT NOT NULL,
    source        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    idevid        BLOB,
    PRIMARY KEY (domain, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX devices_serial_number ON devices (domain, serial_number, manufacturer);

-- Issuances without an outcome. There are few at a time; each leaves for
-- certificates, so that rows there are written once and never grow.
CREATE TABLE intents (
    domain      TEXT NOT NULL,
    serial      BLOB NOT NULL,
    device_id   TEXT NOT NULL,
    profile     TEXT NOT NULL,
    version     TEXT NOT NULL,
    operation   TEXT NOT NULL,
    subject     TEXT NOT NULL,
    tbs_hash    BLOB NOT NULL,
    key_hash    BLOB NOT NULL,
    names_hash  BLOB NOT NULL,
    credential  TEXT NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    intended_at INTEGER NOT NULL,
    PRIMARY KEY (domain, serial)
) WITHOUT ROWID;

CREATE TABLE certificates (
    domain        TEXT NOT NULL,
    serial        BLOB NOT NULL,
    device_id     TEXT NOT NULL,
    profile       TEXT NOT NULL,
    version       TEXT NOT NULL,
    operation     TEXT NOT NULL,
    subject       TEXT NOT NULL,
    tbs_hash      BLOB NOT NULL,
    key_hash      BLOB NOT NULL,
    names_hash    BLOB NOT NULL,
    credential    TEXT NOT NULL,
    not_before    INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    intended_at   INTEGER NOT NULL,
    status        TEXT NOT NULL,
    issued_at     INTEGER NOT NULL,
    revoked_at    INTEGER NOT NULL,
    revoke_reason INTEGER NOT NULL,
    explanation   TEXT NOT NULL,
    raw           BLOB
);
CREATE UNIQUE INDEX certificates_serial ON certificates (domain, serial);
CREATE INDEX certificates_device ON certificates (device_id);
-- Eight bytes of a hash tell keys apart well enough to find them.
CREATE INDEX certificates_key ON certificates (substr(key_hash, 1, 8));
CREATE INDEX certificates_status ON certificates (status, domain, serial) WHERE status <> 'issued';

-- Every issuance, with or without an outcome.
CREATE VIEW issuances AS
SELECT domain, serial, device_id, profile, version, operation, subject, tbs_hash, key_hash, names_hash, credential,
    not_before, not_after, intended_at, status, issued_at, revoked_at, revoke_reason, explanation, raw
FROM certificates
UNION ALL
SELECT domain, serial, device_id, profile, version, operation, subject, tbs_hash, key_hash, names_hash, credential,
    not_before, not_after, intended_at, 'intended', 0, 0, 0, '', NULL
FROM intents;

CREATE TABLE crls (
    domain      TEXT NOT NULL,
    number      INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    raw         BLOB,
    PRIMARY KEY (domain, number)
);

CREATE TABLE vouchers (
    domain           TEXT NOT NULL,
    id               TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    manufacturer     TEXT NOT NULL,
    serial_number    TEXT NOT NULL,
    nonce            TEXT NOT NULL,
    media_type       TEXT NOT NULL,
    request_hash     BLOB NOT NULL,
    state            TEXT NOT NULL,
    reason           TEXT NOT NULL,
    at               INTEGER NOT NULL,
    pledge_request   BLOB,
    registrar_req    BLOB,
    voucher          BLOB,
    audit_log        BLOB,
    pledge_status    BLOB,
    enrollment_state BLOB
);
CREATE UNIQUE INDEX vouchers_id ON vouchers (domain, id);
CREATE UNIQUE INDEX vouchers_request ON vouchers (domain, request_hash);
CREATE INDEX vouchers_device ON vouchers (domain, device_id, id);
CREATE INDEX vouchers_asked ON vouchers (id) WHERE state = 'asked';

CREATE TABLE pending (
    domain        TEXT NOT NULL,
    id            TEXT NOT NULL,
    kind          TEXT NOT NULL,
    key           TEXT NOT NULL,
    manufacturer  TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    subject       TEXT NOT NULL,
    address       TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    seen          INTEGER NOT NULL,
    first_at      INTEGER NOT NULL,
    last_at       INTEGER NOT NULL,
    decided_at    INTEGER NOT NULL,
    decided_by    TEXT NOT NULL,
    evidence      BLOB
);
CREATE UNIQUE INDEX pending_id ON pending (domain, id);
CREATE UNIQUE INDEX pending_key ON pending (domain, kind, key);
CREATE INDEX pending_state ON pending (domain, state, id);

CREATE TABLE credentials (
    domain     TEXT NOT NULL,
    user       TEXT NOT NULL,
    scheme     TEXT NOT NULL,
    salt       BLOB,
    digest     BLOB,
    grouped    INTEGER NOT NULL,
    disabled   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (domain, user)
) WITHOUT ROWID;
