-- +goose Up

-- That the IDevID on record was found to be signed, and by which key: once
-- verified, it need not be verified again. The trail covers this column by itself.
ALTER TABLE devices ADD COLUMN idevid_signed BLOB;
