-- +goose Up

-- A nonce is answered with one voucher (RFC 8995, Section 5.2): whoever puts an
-- exchange on record looks for an earlier one of the same nonce.
CREATE INDEX vouchers_nonce ON vouchers (domain, device_id, nonce) WHERE nonce <> '';
