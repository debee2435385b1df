-- +goose Up

-- What Digest needs of a credential (RFC 7616): whoever reads ha1 or ha1_md5 can
-- authenticate as the user in that realm. They have a table of their own, so that
-- the trail's digests of credentials, which were written without, stay what they are.
CREATE TABLE credential_digests (
    domain  TEXT NOT NULL,
    user    TEXT NOT NULL,
    realm   TEXT NOT NULL,
    ha1     TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    PRIMARY KEY (domain, user)
) WITHOUT ROWID;

-- One-time enrollment codes: a serial number has one at most.
CREATE TABLE codes (
    domain        TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    digest        BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    revoked       INTEGER NOT NULL,
    spent_at      INTEGER NOT NULL,
    spent_key     BLOB,
    spent_names   BLOB,
    PRIMARY KEY (domain, serial_number)
) WITHOUT ROWID;
