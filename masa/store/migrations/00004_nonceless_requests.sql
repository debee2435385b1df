-- +goose Up

-- Only nonceless vouchers are looked for by their request. The condition is not
-- "nonce = ''": with that, SQLite would compile each query with "nonce = ?" anew
-- for every nonce, to see whether this index could serve it.
DROP INDEX vouchers_request;
CREATE INDEX vouchers_request ON vouchers (domain, request_hash) WHERE length(nonce) = 0;
