-- +goose Up

-- Each version of a domain's groups document. of_version is the one that a rollback
-- copied, 0 for none; applied says that every device has been moved.
CREATE TABLE group_documents (
    domain     TEXT NOT NULL,
    version    INTEGER NOT NULL,
    document   BLOB NOT NULL,
    actor      TEXT NOT NULL,
    note       TEXT NOT NULL,
    of_version INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    applied    INTEGER NOT NULL,
    moved      INTEGER NOT NULL,
    PRIMARY KEY (domain, version)
) WITHOUT ROWID;
