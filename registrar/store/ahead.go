package store

import (
	"context"
	"time"

	"github.com/briskest/briskest/registrar"
)

const selectAhead = `SELECT domain, id, device_id, manufacturer, serial_number, state, reason, media_type, renews,
	at, ready_at, expires_on, renew_at, request, voucher, audit_log
	FROM vouchers_ahead `

func scanAhead(row scanner) (*registrar.AheadVoucher, error) {
	var a registrar.AheadVoucher
	err := row.Scan(&a.Domain, &a.ID, &a.DeviceID, &a.Manufacturer, &a.SerialNumber, &a.State, &a.Reason, &a.MediaType, &a.Renews,
		&a.At, &a.ReadyAt, &a.ExpiresOn, &a.RenewAt, &a.Request, &a.Voucher, &a.AuditLog)
	if err != nil {
		return nil, notFound(err)
	}
	return &a, nil
}

// AheadVouchers implements registrar.AheadVouchers.
func (s *Store) AheadVouchers(ctx context.Context, domain, deviceID string) ([]*registrar.AheadVoucher, error) {
	return list(ctx, s, scanAhead, selectAhead+"WHERE domain = ? AND device_id = ? ORDER BY id DESC", domain, deviceID)
}

// AheadVouchersDue implements registrar.AheadVouchers.
func (s *Store) AheadVouchersDue(ctx context.Context, domain string, at time.Time, limit int) ([]*registrar.AheadVoucher, error) {
	return list(ctx, s, scanAhead, selectAhead+
		"WHERE domain = ? AND state = 'ready' AND renew_at <> 0 AND renew_at <= ? ORDER BY renew_at, id LIMIT ?", domain, at, limit)
}

// ListAheadVouchers implements registrar.AheadVouchers.
func (s *Store) ListAheadVouchers(ctx context.Context, domain, after string, limit int) ([]*registrar.AheadVoucher, error) {
	return list(ctx, s, scanAhead, selectAhead+"WHERE domain = ? AND id > ? ORDER BY id LIMIT ?", domain, after, limit)
}

func (w writer) ahead(a *registrar.AheadVoucher) error {
	return w.tx.Put(w.t.ahead, a.Domain, a.ID, a.DeviceID, a.Manufacturer, a.SerialNumber, a.State, a.Reason, a.MediaType, a.Renews,
		a.At, a.ReadyAt, a.ExpiresOn, a.RenewAt, a.Request, a.Voucher, a.AuditLog)
}
