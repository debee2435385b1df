package store

import (
	"context"
	"errors"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

type scanner interface{ Scan(dest ...any) error }

func notFound(err error) error {
	if errors.Is(err, sqlitedb.ErrNoRows) {
		return masa.ErrNotFound
	}
	return err
}

// list scans every row that the query gives.
func list[T any](ctx context.Context, s *Store, scan func(scanner) (*T, error), query string, args ...any) ([]*T, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []*T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

const selectDevice = `SELECT domain, id, product, serial_number, state, reason, idevid, batch, source, created_at, blocked_at,
	key_hash, built_at, idevid_signed FROM devices `

func scanDevice(row scanner, more ...any) (*masa.Device, error) {
	var d masa.Device
	var state string
	err := row.Scan(append([]any{
		&d.Domain, &d.ID, &d.Product, &d.SerialNumber, &state, &d.Reason, &d.IDevID, &d.Batch, &d.Source,
		&d.CreatedAt, &d.BlockedAt, &d.KeyHash, &d.BuiltAt, &d.IDevIDSigned,
	}, more...)...)
	if err != nil {
		return nil, notFound(err)
	}
	d.State = masa.DeviceState(state)
	return &d, nil
}

func scanListedDevice(row scanner) (*masa.Device, error) { return scanDevice(row) }

// Device implements masa.Devices.
func (s *Store) Device(ctx context.Context, domain, id string) (*masa.Device, error) {
	return scanDevice(s.db.QueryRow(ctx, selectDevice+"WHERE domain = ? AND id = ?", domain, id))
}

// DeviceBySerialNumber implements masa.Devices.
func (s *Store) DeviceBySerialNumber(ctx context.Context, domain, product, serialNumber string) (*masa.Device, error) {
	return scanDevice(s.db.QueryRow(ctx, selectDevice+"WHERE domain = ? AND serial_number = ? AND product = ?",
		domain, serialNumber, product))
}

// ListDevices implements masa.Devices.
func (s *Store) ListDevices(ctx context.Context, domain, after string, limit int) ([]*masa.Device, error) {
	return list(ctx, s, scanListedDevice, selectDevice+"WHERE domain = ? AND id > ? ORDER BY id LIMIT ?", domain, after, limit)
}

const selectClaim = `SELECT domain, id, code_hash, device_id, resale, created_at, expires_at, redeemed_at, ended_at, owner_id
	FROM claims `

func scanClaim(row scanner) (*masa.Claim, error) {
	var c masa.Claim
	err := row.Scan(&c.Domain, &c.ID, &c.CodeHash, &c.DeviceID, &c.Resale, &c.CreatedAt, &c.ExpiresAt, &c.RedeemedAt,
		&c.EndedAt, &c.OwnerID)
	return &c, err
}

// Claims implements masa.Owners.
func (s *Store) Claims(ctx context.Context, domain, deviceID string) ([]*masa.Claim, error) {
	return list(ctx, s, scanClaim, selectClaim+"WHERE domain = ? AND device_id = ? ORDER BY id", domain, deviceID)
}

// ClaimsByCode implements masa.Owners.
func (s *Store) ClaimsByCode(ctx context.Context, domain string, codeHash [32]byte) ([]*masa.Claim, error) {
	return list(ctx, s, scanClaim, selectClaim+"WHERE domain = ? AND code_hash = ? ORDER BY id", domain, codeHash)
}

const (
	listedVoucher = `v.domain, v.id, v.device_id, v.product, v.serial_number, v.assertion, v.nonce, v.domain_id, v.pinned, v.pinned_key,
	v.request_hash, v.media_type, v.address, v.version, v.at, v.expires_on, coalesce(o.state, 'intended'), coalesce(o.reason, '')`
	anyOutcome   = " FROM vouchers v LEFT JOIN outcomes o ON o.seq = v.seq "
	selectListed = "SELECT " + listedVoucher + anyOutcome
	selectWhole  = "SELECT " + listedVoucher + ", v.request, o.voucher" + anyOutcome
)

func scanListed(row scanner) (*masa.VoucherRecord, error) { return scanVoucher(row) }

func scanWhole(row scanner) (*masa.VoucherRecord, error) {
	var request, issued []byte
	v, err := scanVoucher(row, &request, &issued)
	if err != nil {
		return nil, err
	}
	v.Request, v.Voucher = request, issued
	return v, nil
}

func scanVoucher(row scanner, more ...any) (*masa.VoucherRecord, error) {
	var v masa.VoucherRecord
	var assertion, state string
	err := row.Scan(append([]any{
		&v.Domain, &v.ID, &v.DeviceID, &v.Product, &v.SerialNumber, &assertion, &v.Nonce, &v.DomainID, &v.Pinned,
		&v.PinnedKey, &v.RequestHash, &v.MediaType, &v.Address, &v.Version, &v.At, &v.ExpiresOn, &state, &v.Reason,
	}, more...)...)
	if err != nil {
		return nil, notFound(err)
	}
	v.Assertion, v.State = voucher.Assertion(assertion), masa.VoucherState(state)
	return &v, nil
}

const (
	voucherByNonce     = selectWhole + "WHERE v.domain = ? AND v.device_id = ? AND v.nonce = ? AND v.nonce <> ''"
	noncelessByRequest = selectWhole + "WHERE v.domain = ? AND v.request_hash = ? AND length(v.nonce) = 0 ORDER BY +v.id DESC LIMIT 1"
	openIntents        = "SELECT " + listedVoucher + ", v.request, o.voucher FROM intended i JOIN vouchers v ON v.seq = i.seq LEFT JOIN outcomes o ON o.seq = v.seq ORDER BY v.id"
	deviceVouchers     = selectListed + "WHERE v.domain = ? AND v.device_id = ? AND o.state = 'issued' ORDER BY v.id DESC LIMIT ?"
)

// VoucherByNonce implements masa.Vouchers.
func (s *Store) VoucherByNonce(ctx context.Context, domain, deviceID, nonce string) (*masa.VoucherRecord, error) {
	return scanWhole(s.db.QueryRow(ctx, voucherByNonce, domain, deviceID, nonce))
}

// NoncelessByRequest implements masa.Vouchers.
func (s *Store) NoncelessByRequest(ctx context.Context, domain string, requestHash [32]byte) (*masa.VoucherRecord, error) {
	return scanWhole(s.db.QueryRow(ctx, noncelessByRequest, domain, requestHash))
}

// DeviceVouchers implements masa.Vouchers.
func (s *Store) DeviceVouchers(ctx context.Context, domain, deviceID string, limit int) ([]*masa.VoucherRecord, error) {
	if only, ok := s.caches.only.Kept(domain, deviceID); ok && only.State == masa.Issued {
		return []*masa.VoucherRecord{&only}, nil
	}
	if limit == 0 {
		limit = -1 // SQLite: no limit
	}
	return list(ctx, s, scanListed, deviceVouchers, domain, deviceID, limit)
}

// ListVouchers implements masa.Vouchers.
func (s *Store) ListVouchers(ctx context.Context, domain, after string, limit int) ([]*masa.VoucherRecord, error) {
	return list(ctx, s, scanListed, selectListed+"WHERE v.domain = ? AND v.id > ? ORDER BY v.id LIMIT ?", domain, after, limit)
}

// OpenIntents implements masa.Vouchers.
func (s *Store) OpenIntents(ctx context.Context) ([]*masa.VoucherRecord, error) {
	return list(ctx, s, scanWhole, openIntents)
}

func scanRestore(row scanner) (*masa.Restore, error) {
	var r masa.Restore
	err := row.Scan(&r.Domain, &r.ID, &r.MadeAt, &r.RestoredAt, &r.By, &r.ConfirmedAt, &r.ConfirmedBy)
	return &r, err
}

// Restores implements masa.Restores.
func (s *Store) Restores(ctx context.Context) ([]*masa.Restore, error) {
	return list(ctx, s, scanRestore, "SELECT domain, id, made_at, restored_at, restored_by, confirmed_at, confirmed_by FROM restores ORDER BY id")
}
