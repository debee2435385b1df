-- +goose Up

-- Only nonceless vouchers are looked for by their request.
DROP INDEX vouchers_request;
CREATE INDEX vouchers_request ON vouchers (domain, request_hash) WHERE nonce = '';
