-- +goose Up

-- What a device's audit-log is abridged to, so that the cost of reading one
-- does not grow with the vouchers: how many were issued to each domain, with a
-- nonce and without, and the newest of them. Triggers derive it from the
-- vouchers, and `briskest trail verify` compares.
CREATE TABLE audited (
    domain     TEXT NOT NULL,
    device_id  TEXT NOT NULL,
    pinned_key BLOB NOT NULL,
    domain_id  BLOB NOT NULL,
    nonceless  INTEGER NOT NULL,
    newest     TEXT NOT NULL, -- id of a voucher
    issued     INTEGER NOT NULL,
    PRIMARY KEY (domain, device_id, pinned_key, domain_id, nonceless)
) WITHOUT ROWID;
CREATE INDEX audited_newest ON audited (domain, device_id, newest);

INSERT INTO audited
    SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', max(id), count(*)
    FROM vouchers WHERE state = 'issued' GROUP BY 1, 2, 3, 4, 5;

-- An issued voucher stays one, and its row changes no more.
-- +goose StatementBegin
CREATE TRIGGER vouchers_audited AFTER UPDATE OF state ON vouchers
WHEN NEW.state = 'issued' AND OLD.state <> 'issued'
BEGIN
    INSERT INTO audited VALUES
        (NEW.domain, NEW.device_id, NEW.pinned_key, coalesce(NEW.domain_id, x''), NEW.nonce = '', NEW.id, 1)
    ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest);
END;
-- +goose StatementEnd
