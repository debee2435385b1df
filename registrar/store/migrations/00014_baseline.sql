-- +goose Up

-- Each version of each group's baseline document; group_name is empty for the
-- domain's. of_version is the one that a rollback copied, 0 for none.
CREATE TABLE baseline_documents (
    domain     TEXT NOT NULL,
    group_name TEXT NOT NULL,
    version    INTEGER NOT NULL,
    document   BLOB NOT NULL,
    actor      TEXT NOT NULL,
    note       TEXT NOT NULL,
    of_version INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (domain, group_name, version)
) WITHOUT ROWID;

-- What each device was given last, and what it said of it. version is the device's
-- own number, which only rises; content tells whether it would be given the same now.
CREATE TABLE baseline_deliveries (
    domain           TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    version          INTEGER NOT NULL,
    group_name       TEXT NOT NULL,
    document_version INTEGER NOT NULL,
    content          BLOB NOT NULL,
    sha256           BLOB NOT NULL,
    at               INTEGER NOT NULL,
    status           TEXT NOT NULL,
    message          TEXT NOT NULL,
    acknowledged_at  INTEGER NOT NULL,
    PRIMARY KEY (domain, device_id)
) WITHOUT ROWID;
CREATE INDEX baseline_deliveries_by_document ON baseline_deliveries (domain, group_name, document_version, status);
