-- +goose Up

-- How many devices each domain holds: all but decommissioned ones, and the registrar's own OCSP
-- responders. What is inserted the writer counts, once a transaction; what leaves or comes back
-- the trigger does, which looks at nothing else.
CREATE TABLE device_counts (
    domain  TEXT PRIMARY KEY,
    devices INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO device_counts (domain, devices)
SELECT domain, sum(state <> 'decommissioned' AND source <> 'responder') FROM devices GROUP BY domain;

-- +goose StatementBegin
CREATE TRIGGER devices_counted AFTER UPDATE OF state ON devices
WHEN (old.state = 'decommissioned') <> (new.state = 'decommissioned') AND new.source <> 'responder' BEGIN
    UPDATE device_counts SET devices = devices + iif(new.state = 'decommissioned', -1, 1) WHERE domain = new.domain;
END;
-- +goose StatementEnd
