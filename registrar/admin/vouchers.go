package admin

import (
	"context"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

func voucherOperations() []operation {
	return []operation{
		define(Operation{ID: "voucher-order", Method: "POST", Path: "/vouchers/order", Role: Operator, Summary: "A signed request for a voucher, to be carried to the manufacturer."}, (*api).orderVoucher),
		define(Operation{ID: "voucher-fetch", Method: "POST", Path: "/vouchers/fetch", Role: Operator, Summary: "Ask the MASA for a voucher ahead of its device."}, (*api).fetchVoucher),
		define(Operation{ID: "voucher-import", Method: "POST", Path: "/vouchers/import", Role: Operator, Summary: "Have a voucher that was carried here checked and kept for its device."}, (*api).importVoucher),
		define(Operation{ID: "voucher-list", Method: "GET", Path: "/vouchers", Role: Viewer, Summary: "List vouchers that were asked for ahead of their devices, in order of ID."}, (*api).listAheadVouchers),
	}
}

// OrderVoucher asks for a voucher ahead of its device; see registrar.VoucherOrder.
type OrderVoucher struct {
	By
	Device    string   `json:"device,omitempty"`     // ID or serial number
	IDevID    [][]byte `json:"idevid,omitempty"`     // DER, in place of Device
	MediaType string   `json:"media_type,omitempty"` // empty for the registrar's preferred one
}

// AheadVoucher is a voucher that was asked for ahead of its device.
type AheadVoucher struct {
	SerialNumber string     `json:"serial_number"`
	State        string     `json:"state"` // "ordered", "ready", "refused" or "renewed"
	Reason       string     `json:"reason,omitempty"`
	Manufacturer string     `json:"manufacturer"`
	At           time.Time  `json:"at"`
	ExpiresOn    *time.Time `json:"expires_on,omitempty"`
	Renews       string     `json:"renews,omitempty"`
	ID           string     `json:"id"`
	Device       string     `json:"device"`
	MediaType    string     `json:"media_type"`
	Request      []byte     `json:"request,omitempty"` // not in lists; as the next two
	Voucher      []byte     `json:"voucher,omitempty"`
	AuditLog     []byte     `json:"audit_log,omitempty"`
}

func aheadOut(a *registrar.AheadVoucher, whole bool) AheadVoucher {
	out := AheadVoucher{
		ID: a.ID, SerialNumber: a.SerialNumber, Manufacturer: a.Manufacturer, State: a.State, Reason: a.Reason, Device: a.DeviceID,
		MediaType: a.MediaType, Renews: a.Renews, At: a.At,
	}
	if !a.ExpiresOn.IsZero() {
		out.ExpiresOn = &a.ExpiresOn
	}
	if whole {
		out.Request, out.Voucher, out.AuditLog = a.Request, a.Voucher, a.AuditLog
	}
	return out
}

func aheadOrError(a *registrar.AheadVoucher, err error) (*AheadVoucher, error) {
	if err != nil {
		return nil, err
	}
	out := aheadOut(a, true)
	return &out, nil
}

func (in *OrderVoucher) order() *registrar.VoucherOrder {
	return &registrar.VoucherOrder{Domain: in.Domain, Actor: in.Actor, Device: in.Device, IDevID: in.IDevID, MediaType: in.MediaType}
}

func (a *api) orderVoucher(ctx context.Context, in *OrderVoucher) (*AheadVoucher, error) {
	return aheadOrError(a.s.OrderVoucher(ctx, in.order()))
}

func (a *api) fetchVoucher(ctx context.Context, in *OrderVoucher) (*AheadVoucher, error) {
	return aheadOrError(a.s.FetchVoucher(ctx, in.order()))
}

// ImportVoucher brings a voucher that was carried here.
type ImportVoucher struct {
	By
	MediaType string `json:"media_type"`
	Voucher   []byte `json:"voucher"`
	AuditLog  []byte `json:"audit_log,omitempty"`
}

func (a *api) importVoucher(ctx context.Context, in *ImportVoucher) (*AheadVoucher, error) {
	return aheadOrError(a.s.ImportVoucher(ctx, &registrar.VoucherImport{
		Domain: in.Domain, Actor: in.Actor, MediaType: in.MediaType, Voucher: in.Voucher, AuditLog: in.AuditLog,
	}))
}

// AheadVouchers is a page of vouchers in order of ID.
type AheadVouchers struct {
	Vouchers []AheadVoucher `json:"vouchers"`
	Cursor
}

func (a *api) listAheadVouchers(ctx context.Context, in *Page) (*AheadVouchers, error) {
	list, next, err := paged(in, func(after string, limit int) ([]*registrar.AheadVoucher, error) {
		return a.s.ListAheadVouchers(ctx, in.Domain, after, limit)
	}, func(a *registrar.AheadVoucher) string { return a.ID })
	return &AheadVouchers{each(list, func(a *registrar.AheadVoucher) AheadVoucher { return aheadOut(a, false) }), next}, err
}

// OrderVoucher returns a signed request for a voucher, to be carried to the
// manufacturer.
func (c *Client) OrderVoucher(ctx context.Context, in OrderVoucher) (*AheadVoucher, error) {
	return call[AheadVoucher](ctx, c, "voucher-order", &in)
}

// FetchVoucher is OrderVoucher that asks the MASA at once.
func (c *Client) FetchVoucher(ctx context.Context, in OrderVoucher) (*AheadVoucher, error) {
	return call[AheadVoucher](ctx, c, "voucher-fetch", &in)
}

// ImportVoucher has a voucher checked and kept for its device.
func (c *Client) ImportVoucher(ctx context.Context, in ImportVoucher) (*AheadVoucher, error) {
	return call[AheadVoucher](ctx, c, "voucher-import", &in)
}

// AheadVouchers lists vouchers that were asked for ahead of their devices, in order of ID.
func (c *Client) AheadVouchers(ctx context.Context) iter.Seq2[AheadVoucher, error] {
	return pages(func(p Page) ([]AheadVoucher, Cursor, error) {
		out, err := call[AheadVouchers](ctx, c, "voucher-list", &p)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Vouchers, out.Cursor, nil
	})
}
