package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// What is carried between a site and its manufacturer has names by the serial
// number: SERIAL.request.vcj there, SERIAL.voucher.vcj and SERIAL.auditlog.json
// back; .vjj and .vch in the other encodings.
const (
	requestSuffix  = ".request"
	voucherSuffix  = ".voucher"
	auditLogSuffix = ".auditlog.json"
)

// carriedName is a file's name for a serial number, which may hold anything.
func carriedName(serialNumber string) string { return url.PathEscape(serialNumber) }

// voucherDevices names the devices that vouchers are asked for.
type voucherDevices struct {
	registrarData
	Device []string           `help:"Serial number or ID of a device in the inventory; may be repeated." placeholder:"SERIAL"`
	IDevID []string           `name:"idevid" type:"existingfile" help:"PEM file of a device's IDevID, and after it CAs that its manufacturer's anchors lack; may be repeated." placeholder:"FILE"`
	Speaks voucherformat.Name `name:"format" enum:"cms,jws,cose" default:"cms" help:"Encoding that the devices speak: cms (JSON in CMS), jws (JSON in JWS) or cose (CBOR in COSE)."`
	output
}

// aheadRow is what is printed about a voucher.
type aheadRow struct {
	SerialNumber string     `json:"serial_number"`
	State        string     `json:"state"`
	Reason       string     `json:"reason,omitempty"`
	ExpiresOn    *time.Time `json:"expires_on,omitempty"`
	Renews       string     `json:"renews,omitempty"`
	ID           string     `json:"id"`
	File         string     `json:"file,omitempty"`
}

func newAheadRow(a *registraradmin.AheadVoucher, file string) aheadRow {
	return aheadRow{a.SerialNumber, a.State, a.Reason, a.ExpiresOn, a.Renews, a.ID, file}
}

// each calls do for each device.
func (c *voucherDevices) each(ctx context.Context, s streams, do func(*registraradmin.Client, registraradmin.OrderVoucher) (aheadRow, error)) error {
	if len(c.Device)+len(c.IDevID) == 0 {
		return cli.Usage("say for which devices: --device SERIAL or --idevid FILE")
	}
	format, err := c.Speaks.Format()
	if err != nil {
		return err
	}
	var orders []registraradmin.OrderVoucher
	for _, device := range c.Device {
		orders = append(orders, registraradmin.OrderVoucher{Device: device, MediaType: format.MediaType()})
	}
	for _, file := range c.IDevID {
		certs, err := pemfile.Certificates(file)
		if err != nil {
			return err
		}
		order := registraradmin.OrderVoucher{MediaType: format.MediaType()}
		for _, cert := range certs {
			order.IDevID = append(order.IDevID, cert.Raw)
		}
		orders = append(orders, order)
	}
	var rows []aheadRow
	err = c.operate(ctx, s, func(client *registraradmin.Client) error {
		for _, order := range orders {
			row, err := do(client, order)
			if err != nil {
				return refusedByRegistrar(err)
			}
			rows = append(rows, row)
		}
		return nil
	})
	return printDone(s, c.Format, rows, err)
}

// refusedByRegistrar gives a refusal its exit code.
func refusedByRegistrar(err error) error {
	var e *registraradmin.Error
	if errors.As(err, &e) && e.Status == 422 {
		return &cli.Error{Code: cli.ExitRefused, Err: err}
	}
	return err
}

type voucherRequestCmd struct {
	voucherDevices
	Out string `required:"" help:"Folder for the requests, one file a device; made when it is not there." placeholder:"DIR"`
}

// Run makes signed requests for vouchers without a nonce, to be carried to the
// manufacturer. Where a voucher is ready already, the request asks to renew it.
func (c *voucherRequestCmd) Run(ctx context.Context, s streams) error {
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return err
	}
	return c.each(ctx, s, func(client *registraradmin.Client, order registraradmin.OrderVoucher) (aheadRow, error) {
		row, err := client.OrderVoucher(ctx, order)
		if err != nil {
			return aheadRow{}, err
		}
		file := filepath.Join(c.Out, carriedName(row.SerialNumber)+requestSuffix+c.Speaks.Extension())
		return newAheadRow(row, file), os.WriteFile(file, row.Request, 0o600)
	})
}

type voucherFetchCmd struct{ voucherDevices }

// Run asks the MASA now for vouchers without a nonce, and keeps them for the devices.
func (c *voucherFetchCmd) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, func(client *registraradmin.Client, order registraradmin.OrderVoucher) (aheadRow, error) {
		row, err := client.FetchVoucher(ctx, order)
		if err != nil {
			return aheadRow{}, err
		}
		return newAheadRow(row, ""), nil
	})
}

type voucherImportCmd struct {
	registrarData
	File []string `arg:"" type:"existingfile" help:"Vouchers that were carried here. The audit-log beside NAME.voucher.vcj is NAME.auditlog.json."`
	output
}

// Run checks vouchers and keeps them for their devices.
func (c *voucherImportCmd) Run(ctx context.Context, s streams) error {
	var rows []aheadRow
	err := c.operate(ctx, s, func(client *registraradmin.Client) error {
		for _, file := range c.File {
			in, err := readCarried(s, file)
			if err != nil {
				return err
			}
			row, err := client.ImportVoucher(ctx, *in)
			if err != nil {
				return cli.Hint(refusedByRegistrar(err), "%s was not taken; what came before it was", file)
			}
			rows = append(rows, newAheadRow(row, file))
		}
		return nil
	})
	return printDone(s, c.Format, rows, err)
}

// readCarried reads a voucher, and the audit-log beside it if there is one.
func readCarried(s streams, file string) (*registraradmin.ImportVoucher, error) {
	data, err := readBounded(s.In, file, maxArtifact)
	if err != nil {
		return nil, err
	}
	name := voucherformat.Of(data)
	format, err := name.Format()
	if err != nil {
		return nil, err
	}
	in := &registraradmin.ImportVoucher{MediaType: format.MediaType(), Voucher: data}
	if base, found := strings.CutSuffix(file, voucherSuffix+name.Extension()); found {
		log, err := readBounded(s.In, base+auditLogSuffix, maxArtifact)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			in.AuditLog = log
		}
	}
	return in, nil
}

type voucherListCmd struct {
	registrarData
	output
}

// Run lists the vouchers that were asked for ahead of their devices.
func (c *voucherListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		var rows []aheadRow
		for row, err := range client.AheadVouchers(ctx) {
			if err != nil {
				return err
			}
			rows = append(rows, newAheadRow(&row, ""))
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

// printDone prints what was done before err, if it was anything, and returns err.
func printDone[T any](s streams, format string, rows []T, err error) error {
	if err != nil && len(rows) == 0 {
		return err
	}
	return errors.Join(err, cli.PrintList(s.Out, format, rows))
}
