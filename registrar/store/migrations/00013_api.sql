-- +goose Up

-- Tokens for the operators' API: digest is the SHA-256 of 256 random bits.
CREATE TABLE api_tokens (
    domain     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked    INTEGER NOT NULL,
    PRIMARY KEY (domain, id)
) WITHOUT ROWID;

-- What the API answered under idempotency keys. It is no part of the trail: it says what a
-- client was told, and is gone after a day.
CREATE TABLE api_replies (
    id           INTEGER PRIMARY KEY,
    domain       TEXT NOT NULL,
    principal    TEXT NOT NULL,
    key          TEXT NOT NULL,
    operation    TEXT NOT NULL,
    request_hash BLOB,
    status       INTEGER NOT NULL,
    body         BLOB,
    at           INTEGER NOT NULL,
    UNIQUE (domain, principal, key)
);
