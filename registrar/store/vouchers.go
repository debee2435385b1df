package store

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

const selectVoucher = `SELECT domain, id, device_id, manufacturer, serial_number, nonce, media_type, request_hash,
	state, reason, at, pledge_request, registrar_req, voucher, audit_log, pledge_status, enrollment_state
	FROM vouchers `

func scanVoucher(row scanner) (*registrar.VoucherRecord, error) {
	var v registrar.VoucherRecord
	err := row.Scan(&v.Domain, &v.ID, &v.DeviceID, &v.Manufacturer, &v.SerialNumber, &v.Nonce, &v.MediaType,
		&v.RequestHash, &v.State, &v.Reason, &v.At, &v.PledgeRequest, &v.RegistrarReq, &v.Voucher, &v.AuditLog,
		&v.PledgeStatus, &v.EnrollmentState)
	if err != nil {
		return nil, notFound(err)
	}
	return &v, nil
}

// VoucherByRequest implements registrar.Vouchers.
func (s *Store) VoucherByRequest(ctx context.Context, domain string, requestHash [32]byte) (*registrar.VoucherRecord, error) {
	return scanVoucher(s.db.QueryRow(ctx, selectVoucher+"WHERE domain = ? AND request_hash = ?", domain, requestHash))
}

// VoucherByNonce implements registrar.Vouchers.
func (s *Store) VoucherByNonce(ctx context.Context, domain, deviceID, nonce string) (*registrar.VoucherRecord, error) {
	return scanVoucher(s.db.QueryRow(ctx, selectVoucher+whereNonce+" ORDER BY id DESC LIMIT 1", domain, deviceID, nonce))
}

const whereNonce = "WHERE domain = ? AND device_id = ? AND nonce = ? AND nonce <> ''"

// LatestVoucher implements registrar.Vouchers.
func (s *Store) LatestVoucher(ctx context.Context, domain, deviceID string) (*registrar.VoucherRecord, error) {
	return scanVoucher(s.db.QueryRow(ctx, selectVoucher+
		"WHERE domain = ? AND device_id = ? ORDER BY id DESC LIMIT 1", domain, deviceID))
}

// ListVouchers implements registrar.Vouchers, the oldest first.
func (s *Store) ListVouchers(ctx context.Context, domain, deviceID string) ([]*registrar.VoucherRecord, error) {
	return list(ctx, s, scanVoucher, selectVoucher+"WHERE domain = ? AND device_id = ? ORDER BY id", domain, deviceID)
}

// UnansweredVouchers implements registrar.Vouchers, the oldest first.
func (s *Store) UnansweredVouchers(ctx context.Context) ([]*registrar.VoucherRecord, error) {
	return list(ctx, s, scanVoucher, selectVoucher+"WHERE state = 'asked' ORDER BY id")
}
