-- +goose Up

-- What lists are made of: each certificate that is or was revoked, in the order in
-- which a partition of lists has them. place is the first 16 bits of the SHA-256 of
-- the serial number; change counts up with each row that is written for an
-- authority, so that a list knows what is newer than it. reason 8 is a hold that was released.
CREATE TABLE revocations (
    domain     TEXT NOT NULL,
    authority  BLOB NOT NULL,
    place      INTEGER NOT NULL,
    serial     BLOB NOT NULL,
    change     INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    reason     INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    PRIMARY KEY (domain, authority, place, serial)
) WITHOUT ROWID;
CREATE INDEX revocations_change ON revocations (domain, authority, change);

-- The newest list of each series; those of crls are from before there were several.
CREATE TABLE lists (
    domain      TEXT NOT NULL,
    authority   BLOB NOT NULL,
    partitions  INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    delta       INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    change      INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    bases       BLOB,
    raw         BLOB
);
CREATE UNIQUE INDEX lists_scope ON lists (domain, authority, partitions, place, delta);

-- How many partitions an authority's lists have or had: certificates name them.
CREATE TABLE list_partitions (
    domain     TEXT NOT NULL,
    authority  BLOB NOT NULL,
    partitions INTEGER NOT NULL,
    PRIMARY KEY (domain, authority, partitions)
) WITHOUT ROWID;
