-- +goose Up

-- How far each target of events is. These tables are no part of the trail: they say
-- what was sent of it, and are written again and again.
CREATE TABLE event_targets (
    domain    TEXT NOT NULL,
    name      TEXT NOT NULL,
    next      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    PRIMARY KEY (domain, name)
) WITHOUT ROWID;

-- Events that left the row: they wait for another try, or are dead.
CREATE TABLE event_letters (
    domain TEXT NOT NULL,
    target TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    device TEXT NOT NULL,
    dead   INTEGER NOT NULL,
    tries  INTEGER NOT NULL,
    answer TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (domain, target, seq)
) WITHOUT ROWID;

-- What was delivered, when, and with what answer.
CREATE TABLE event_receipts (
    domain TEXT NOT NULL,
    target TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    device TEXT NOT NULL,
    at     INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (domain, target, seq)
) WITHOUT ROWID;
CREATE INDEX event_receipts_device ON event_receipts (domain, device, seq);
