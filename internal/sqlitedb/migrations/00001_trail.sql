-- +goose Up

-- One row an entry of the trail; leaf is what was hashed. domain and device
-- repeat what the leaf says, so that entries can be found.
CREATE TABLE trail_entries (
    seq    INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    device TEXT NOT NULL,
    leaf   BLOB NOT NULL
);
CREATE INDEX trail_entries_device ON trail_entries (device) WHERE device <> '';

-- One row a transaction: the signed head of the log after it.
CREATE TABLE trail_heads (
    number    INTEGER PRIMARY KEY,
    size      INTEGER NOT NULL,
    root      BLOB NOT NULL,
    signature BLOB NOT NULL
);

-- The one row with the right edge of the tree, so that the log is continued
-- without reading it.
CREATE TABLE trail_edge (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    edge   BLOB NOT NULL
);
