package admin

import (
	"context"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

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
}

func (a *api) listAheadVouchers(ctx context.Context, in *Page) (*AheadVouchers, error) {
	list, err := a.s.ListAheadVouchers(ctx, in.Domain, in.After, in.Limit)
	return &AheadVouchers{each(list, func(a *registrar.AheadVoucher) AheadVoucher { return aheadOut(a, false) })}, err
}

// OrderVoucher returns a signed request for a voucher, to be carried to the
// manufacturer; in's By is filled in.
func (c *Client) OrderVoucher(ctx context.Context, in OrderVoucher) (*AheadVoucher, error) {
	in.By = c.by()
	return post[AheadVoucher](ctx, c, "voucher-order", &in)
}

// FetchVoucher is OrderVoucher that asks the MASA at once.
func (c *Client) FetchVoucher(ctx context.Context, in OrderVoucher) (*AheadVoucher, error) {
	in.By = c.by()
	return post[AheadVoucher](ctx, c, "voucher-fetch", &in)
}

// ImportVoucher has a voucher checked and kept for its device; in's By is filled in.
func (c *Client) ImportVoucher(ctx context.Context, in ImportVoucher) (*AheadVoucher, error) {
	in.By = c.by()
	return post[AheadVoucher](ctx, c, "voucher-import", &in)
}

// AheadVouchers lists vouchers that were asked for ahead of their devices, in order of ID.
func (c *Client) AheadVouchers(ctx context.Context) iter.Seq2[AheadVoucher, error] {
	return pages(func(after string, limit int) ([]AheadVoucher, error) {
		out, err := post[AheadVouchers](ctx, c, "voucher-list", &Page{c.by(), after, limit})
		if err != nil {
			return nil, err
		}
		return out.Vouchers, nil
	}, func(a *AheadVoucher) string { return a.ID })
}
