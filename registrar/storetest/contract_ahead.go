package storetest

import (
	"testing"

	"github.com/briskest/briskest/registrar"
)

func ahead(n, dev int, state string) *registrar.AheadVoucher {
	return &registrar.AheadVoucher{
		ID: id(n), Domain: registrar.DefaultDomain, DeviceID: id(dev), Manufacturer: "acme", SerialNumber: "SN-1", State: state,
		MediaType: "application/voucher-cms+json", Request: []byte{1}, At: at(n),
	}
}

func testAhead(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	first, second := ahead(1, 1, registrar.AheadOrdered), ahead(2, 1, registrar.AheadOrdered)
	other, never := ahead(3, 2, registrar.AheadReady), ahead(4, 2, registrar.AheadReady)
	other.RenewAt = at(7)
	elsewhere := ahead(5, 1, registrar.AheadReady)
	elsewhere.Domain, elsewhere.RenewAt = "elsewhere", at(1)
	commit(t, s, &registrar.Change{PutAhead: []*registrar.AheadVoucher{first, second, other, never, elsewhere}})
	second = ahead(2, 1, registrar.AheadReady)
	second.Reason, second.Renews, second.Voucher, second.AuditLog = "reason", id(1), []byte{2}, []byte{3}
	second.ReadyAt, second.ExpiresOn, second.RenewAt = at(4), at(9), at(8)
	commit(t, s, &registrar.Change{PutAhead: []*registrar.AheadVoucher{second}})

	type rows = []*registrar.AheadVoucher
	got, err := s.AheadVouchers(ctx, domain, id(1))
	want(t, "AheadVouchers", got, err, rows{second, first})
	got, err = s.ListAheadVouchers(ctx, domain, id(1), 2)
	want(t, "ListAheadVouchers", got, err, rows{second, other})
	got, err = s.AheadVouchersDue(ctx, domain, at(8), 10)
	want(t, "AheadVouchersDue", got, err, rows{other, second})
	got, err = s.AheadVouchersDue(ctx, domain, at(8), 1)
	want(t, "AheadVouchersDue with a limit", got, err, rows{other})
	got, err = s.AheadVouchersDue(ctx, domain, at(6), 10)
	if err != nil || len(got) != 0 {
		t.Errorf("AheadVouchersDue before the first = %v, %v; want none", got, err)
	}
}
