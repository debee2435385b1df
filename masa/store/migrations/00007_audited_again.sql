-- +goose Up

-- Most devices get one voucher, which is their audit-log by itself: rows of
-- audited are those of devices with two and more.
DELETE FROM audited WHERE (domain, device_id) IN
    (SELECT domain, device_id FROM audited GROUP BY domain, device_id HAVING sum(issued) = 1);

DROP TRIGGER outcomes_first_audited;
DROP TRIGGER outcomes_again_audited;

-- The first statement takes up the voucher of before, where this is the second.
-- +goose StatementBegin
CREATE TRIGGER outcomes_first_audited AFTER INSERT ON outcomes WHEN NEW.state = 'issued'
BEGIN
    INSERT INTO audited SELECT b.domain, b.device_id, b.pinned_key, coalesce(b.domain_id, x''), b.nonce = '', b.id, 1
        FROM vouchers v JOIN vouchers b ON b.domain = v.domain AND b.device_id = v.device_id AND b.seq <> v.seq
        JOIN outcomes o ON o.seq = b.seq AND o.state = 'issued'
        WHERE v.seq = NEW.seq
        AND NOT EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id) LIMIT 1;
    INSERT INTO audited SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', id, 1
        FROM vouchers v WHERE seq = NEW.seq
        AND EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id)
    ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outcomes_again_audited AFTER UPDATE OF state ON outcomes WHEN NEW.state = 'issued' AND OLD.state <> 'issued'
BEGIN
    INSERT INTO audited SELECT b.domain, b.device_id, b.pinned_key, coalesce(b.domain_id, x''), b.nonce = '', b.id, 1
        FROM vouchers v JOIN vouchers b ON b.domain = v.domain AND b.device_id = v.device_id AND b.seq <> v.seq
        JOIN outcomes o ON o.seq = b.seq AND o.state = 'issued'
        WHERE v.seq = NEW.seq
        AND NOT EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id) LIMIT 1;
    INSERT INTO audited SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', id, 1
        FROM vouchers v WHERE seq = NEW.seq
        AND EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id)
    ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest);
END;
-- +goose StatementEnd
