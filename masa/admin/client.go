package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/masa"
)

// Client is an Operator over a socket that [Handler] answers on.
type Client struct {
	// HTTP reaches the socket. Required; see [NewClient].
	HTTP *http.Client
}

// NewClient returns a Client that connects with dial, such as to a unix socket.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{HTTP: &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}}}
}

// maxAnswer is the most bytes of an answer: masa.MaxPage devices with certificates.
const maxAnswer = 64 << 20

func call[A any](ctx context.Context, c *Client, path string, question any) (A, error) {
	var result A
	body, err := json.Marshal(question)
	if err != nil {
		return result, err
	}
	// The host is not looked up: the connection goes to the socket.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://masa"+path, bytes.NewReader(body))
	if err != nil {
		return result, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return result, fmt.Errorf("ask the running MASA: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	d := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode != http.StatusOK {
		p := &problem{}
		if err := d.Decode(p); err != nil || p.Message == "" {
			return result, fmt.Errorf("the running MASA answered %s; is it another version?", res.Status)
		}
		return result, p.error()
	}
	if err := d.Decode(&result); err != nil {
		return result, fmt.Errorf("answer of the running MASA: %w", err)
	}
	return result, nil
}

// ImportDevices is masa.Service.ImportDevices.
func (c *Client) ImportDevices(ctx context.Context, in *masa.Import) (*masa.ImportReport, error) {
	return call[*masa.ImportReport](ctx, c, pathImport, in)
}

// Device is masa.Service.Device.
func (c *Client) Device(ctx context.Context, ref masa.DeviceRef) (*masa.DeviceCase, error) {
	return call[*masa.DeviceCase](ctx, c, pathDevice, ref)
}

// ListDevices is masa.Service.ListDevices.
func (c *Client) ListDevices(ctx context.Context, p masa.Page) ([]*masa.Device, error) {
	return call[[]*masa.Device](ctx, c, pathDevices, p)
}

// Block is masa.Service.Block.
func (c *Client) Block(ctx context.Context, r *masa.BlockRequest) (*masa.Device, error) {
	return call[*masa.Device](ctx, c, pathBlock, r)
}

// Unblock is masa.Service.Unblock.
func (c *Client) Unblock(ctx context.Context, r *masa.BlockRequest) (*masa.Device, error) {
	return call[*masa.Device](ctx, c, pathUnblock, r)
}

// AddOwner is masa.Service.AddOwner.
func (c *Client) AddOwner(ctx context.Context, o *masa.OwnerClaim) (*masa.Owner, error) {
	return call[*masa.Owner](ctx, c, pathOwner, o)
}

// ImportOwners is masa.Service.ImportOwners.
func (c *Client) ImportOwners(ctx context.Context, in *masa.OwnerImport) (*masa.ImportReport, error) {
	return call[*masa.ImportReport](ctx, c, pathOwners, in)
}

// EndOwner is masa.Service.EndOwner.
func (c *Client) EndOwner(ctx context.Context, r *masa.OwnerEnd) (*masa.DeviceCase, error) {
	return call[*masa.DeviceCase](ctx, c, pathOwnerEnd, r)
}

// CreateClaims is masa.Service.CreateClaims.
func (c *Client) CreateClaims(ctx context.Context, r *masa.ClaimRequest) ([]*masa.ClaimCode, error) {
	return call[[]*masa.ClaimCode](ctx, c, pathClaims, r)
}

// RedeemClaim is masa.Service.RedeemClaim.
func (c *Client) RedeemClaim(ctx context.Context, r *masa.Redemption) ([]*masa.Owner, error) {
	return call[[]*masa.Owner](ctx, c, pathRedeem, r)
}

// AuditLog is masa.Service.AuditLog. The document as sent to registrars, Raw,
// is empty.
func (c *Client) AuditLog(ctx context.Context, ref masa.DeviceRef) (*brski.AuditLog, error) {
	return call[*brski.AuditLog](ctx, c, pathAuditLog, ref)
}

// ListVouchers is masa.Service.ListVouchers. Fields that are not JSON (the
// artifacts) are empty.
func (c *Client) ListVouchers(ctx context.Context, p masa.Page) ([]*masa.VoucherRecord, error) {
	return call[[]*masa.VoucherRecord](ctx, c, pathVouchers, p)
}

// AnswerCarried is masa.Service.AnswerCarried. A refusal has the status 403,
// whatever it was on the other side.
func (c *Client) AnswerCarried(ctx context.Context, r *masa.CarriedRequest) (*masa.CarriedAnswer, error) {
	return call[*masa.CarriedAnswer](ctx, c, pathCarried, r)
}

// ConfirmRestore is masa.Service.ConfirmRestore.
func (c *Client) ConfirmRestore(ctx context.Context, r *masa.RestoreConfirmation) ([]*masa.Restore, error) {
	return call[[]*masa.Restore](ctx, c, pathConfirm, r)
}
