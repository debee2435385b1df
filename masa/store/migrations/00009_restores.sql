-- +goose Up

-- From which backups the records were restored, and when: what was issued in
-- between is not on record, and not issued again.
CREATE TABLE restores (
    domain       TEXT NOT NULL,
    id           TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    restored_at  INTEGER NOT NULL,
    restored_by  TEXT NOT NULL,
    confirmed_at INTEGER NOT NULL,
    confirmed_by TEXT NOT NULL,
    PRIMARY KEY (domain, id)
) WITHOUT ROWID;
