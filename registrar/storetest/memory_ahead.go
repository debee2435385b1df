package storetest

import (
	"cmp"
	"context"
	"time"

	"github.com/briskest/briskest/registrar"
)

func copyAhead(a *registrar.AheadVoucher) *registrar.AheadVoucher {
	c := *a
	c.Request, c.Voucher, c.AuditLog = blob(a.Request), blob(a.Voucher), blob(a.AuditLog)
	c.At, c.ReadyAt, c.ExpiresOn, c.RenewAt = moment(a.At), moment(a.ReadyAt), moment(a.ExpiresOn), moment(a.RenewAt)
	return &c
}

// AheadVouchers implements registrar.AheadVouchers.
func (m *Memory) AheadVouchers(ctx context.Context, domain, deviceID string) ([]*registrar.AheadVoucher, error) {
	s, err := m.read(ctx)
	return pick(s.ahead, 0, func(a *registrar.AheadVoucher) bool { return a.Domain == domain && a.DeviceID == deviceID },
		func(a, b *registrar.AheadVoucher) int { return cmp.Compare(b.ID, a.ID) }, copyAhead), err
}

// AheadVouchersDue implements registrar.AheadVouchers.
func (m *Memory) AheadVouchersDue(ctx context.Context, domain string, at time.Time, limit int) ([]*registrar.AheadVoucher, error) {
	s, err := m.read(ctx)
	return pick(s.ahead, limit, func(a *registrar.AheadVoucher) bool {
		return a.Domain == domain && a.State == registrar.AheadReady && !a.RenewAt.IsZero() && !a.RenewAt.After(at)
	}, func(a, b *registrar.AheadVoucher) int {
		return cmp.Or(a.RenewAt.Compare(b.RenewAt), cmp.Compare(a.ID, b.ID))
	}, copyAhead), err
}

// ListAheadVouchers implements registrar.AheadVouchers.
func (m *Memory) ListAheadVouchers(ctx context.Context, domain, after string, limit int) ([]*registrar.AheadVoucher, error) {
	s, err := m.read(ctx)
	return pick(s.ahead, limit, func(a *registrar.AheadVoucher) bool { return a.Domain == domain && a.ID > after },
		func(a, b *registrar.AheadVoucher) int { return cmp.Compare(a.ID, b.ID) }, copyAhead), err
}
