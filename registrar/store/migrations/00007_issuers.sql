-- +goose Up

-- An issuance is known by its ID, not by its serial number: two CAs may choose
-- the same one, and another CA chooses it only when it signs. The ID of a row
-- from before is its serial number, so that what the trail says of it stays true.
--
-- origin says where the serial number comes from: 0 this program's CA, which
-- chose it before it signed; 1 another CA; 2 the one CA there was, before.
-- authority is the start of the SHA-256 of the issuing CA's key; NULL: not known.

ALTER TABLE intents RENAME TO intents_before;

CREATE TABLE intents (
    domain      TEXT NOT NULL,
    id          BLOB NOT NULL,
    issuer      TEXT NOT NULL,
    authority   BLOB,
    serial      BLOB,
    origin      INTEGER NOT NULL,
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
    PRIMARY KEY (domain, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX intents_serial ON intents (domain, serial, authority) WHERE serial IS NOT NULL;

INSERT INTO intents SELECT domain, serial, '', NULL, serial, 2, device_id, profile, version, operation, subject, tbs_hash,
    key_hash, names_hash, credential, not_before, not_after, intended_at FROM intents_before;
DROP VIEW issuances;
DROP TABLE intents_before;

ALTER TABLE certificates RENAME TO certificates_before;
DROP INDEX certificates_serial;
DROP INDEX certificates_device;
DROP INDEX certificates_key;
DROP INDEX certificates_status;

CREATE TABLE certificates (
    domain        TEXT NOT NULL,
    id            BLOB NOT NULL,
    issuer        TEXT NOT NULL,
    authority     BLOB,
    serial        BLOB,
    origin        INTEGER NOT NULL,
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
INSERT INTO certificates SELECT domain, serial, '', NULL, serial, 2, device_id, profile, version, operation, subject, tbs_hash,
    key_hash, names_hash, credential, not_before, not_after, intended_at, status, issued_at, revoked_at, revoke_reason,
    explanation, raw FROM certificates_before ORDER BY rowid;
DROP TABLE certificates_before;

CREATE UNIQUE INDEX certificates_id ON certificates (domain, id);
CREATE UNIQUE INDEX certificates_serial ON certificates (domain, serial, authority) WHERE serial IS NOT NULL;
CREATE INDEX certificates_device ON certificates (device_id);
-- Eight bytes of a hash tell keys apart well enough to find them.
CREATE INDEX certificates_key ON certificates (substr(key_hash, 1, 8));
CREATE INDEX certificates_status ON certificates (status, domain, id) WHERE status <> 'issued';
-- What the next start has to find the CA of.
CREATE INDEX certificates_unadopted ON certificates (domain, id) WHERE origin = 2 AND authority IS NULL AND raw IS NOT NULL;

-- Every issuance, with or without an outcome.
CREATE VIEW issuances AS
SELECT domain, id, issuer, authority, serial, origin, device_id, profile, version, operation, subject, tbs_hash, key_hash,
    names_hash, credential, not_before, not_after, intended_at, status, issued_at, revoked_at, revoke_reason, explanation, raw
FROM certificates
UNION ALL
SELECT domain, id, issuer, authority, serial, origin, device_id, profile, version, operation, subject, tbs_hash, key_hash,
    names_hash, credential, not_before, not_after, intended_at, 'intended', 0, 0, 0, '', NULL
FROM intents;

-- What the trail covers of them: the intents of before, those since, and what
-- was learned after the intent. No part has what another has.
CREATE VIEW issuances_before AS
SELECT domain, serial, device_id, profile, version, operation, subject, tbs_hash, key_hash, names_hash, credential,
    not_before, not_after, intended_at FROM issuances WHERE origin = 2;
CREATE VIEW issuances_since AS
SELECT domain, id, issuer, iif(origin = 1, NULL, authority) AS authority, iif(origin = 1, NULL, serial) AS serial, origin,
    device_id, profile, version, operation, subject, tbs_hash, key_hash, names_hash, credential, not_before, not_after,
    intended_at FROM issuances WHERE origin <> 2;
CREATE VIEW issuances_learned AS
SELECT domain, id, iif(origin = 2, issuer, '') AS issuer, iif(origin = 0, NULL, authority) AS authority,
    iif(origin = 1, serial, NULL) AS serial FROM issuances;

-- Issuances that another CA has not finished, or whose device has not come back
-- for its certificate: what has to be asked for again.
CREATE TABLE outstanding (
    domain  TEXT NOT NULL,
    id      BLOB NOT NULL,
    csr     BLOB,
    decided BLOB,
    state   BLOB
);
CREATE UNIQUE INDEX outstanding_id ON outstanding (domain, id);

-- Revocations, holds and releases that the CA has not been told of yet.
CREATE TABLE untold (
    domain TEXT NOT NULL,
    id     BLOB NOT NULL,
    at     INTEGER NOT NULL,
    reason INTEGER NOT NULL
);
CREATE UNIQUE INDEX untold_id ON untold (domain, id);
