-- +goose Up

-- What an import and a sale say besides. The trail covers these columns by
-- themselves, so that its digests of rows that were written without stay what
-- they are.
ALTER TABLE devices ADD COLUMN key_hash BLOB;
ALTER TABLE devices ADD COLUMN built_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owners ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE owners ADD COLUMN registrar_url TEXT NOT NULL DEFAULT '';
ALTER TABLE owners ADD COLUMN est_domain TEXT NOT NULL DEFAULT '';

-- One-time claim codes; a code for several devices has a row for each.
CREATE TABLE claims (
    domain      TEXT NOT NULL,
    id          TEXT NOT NULL,
    code_hash   BLOB NOT NULL,
    device_id   TEXT NOT NULL,
    resale      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    redeemed_at INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    owner_id    TEXT NOT NULL
);
CREATE UNIQUE INDEX claims_id ON claims (domain, id);
CREATE INDEX claims_code ON claims (domain, code_hash);
CREATE INDEX claims_device ON claims (domain, device_id, id);
