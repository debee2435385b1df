-- +goose Up

-- Devices that an operator barred by what they have in common.
CREATE TABLE quarantines (
    domain       TEXT NOT NULL,
    id           TEXT NOT NULL,
    kind         TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    value        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    put_by       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    lifted_at    INTEGER NOT NULL,
    lifted_by    TEXT NOT NULL,
    PRIMARY KEY (domain, id)
) WITHOUT ROWID;
