package main

import (
	"context"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type deviceCmd struct {
	Import deviceImportCmd `cmd:"" help:"Admit serial numbers of a manufacturer."`
	List   deviceListCmd   `cmd:"" help:"List devices."`
	Show   deviceShowCmd   `cmd:"" help:"One device with its certificates, vouchers and telemetry."`
	Why    deviceWhyCmd    `cmd:"" help:"Why a device got what it got: every decision and refusal."`

	Evidence deviceEvidenceCmd `cmd:"" help:"How a device got its vouchers: artifacts, audit-log and telemetry."`
}

// maxDeviceImport is how many devices one call of the registrar takes.
const maxDeviceImport = 10000

type deviceImportCmd struct {
	registrarData
	Manufacturer string `required:"" help:"Manufacturer, as in the configuration."`
	File         string `arg:"" help:"Serial numbers, one a line (or the first CSV field), or PEM IDevIDs; - for standard input."`
	Owner        string `help:"Whose the devices are, at a cloud registrar, as in the configuration." xor:"owner"`
	Unowned      bool   `help:"Nobody owns the devices any more, or yet, at a cloud registrar." xor:"owner"`
	Owners       bool   `help:"The second CSV field says whose each device is; empty for nobody's." xor:"owner"`
	DryRun       bool   `help:"Report, and change nothing."`
	output
}

// owner is whose a row's device is; nil leaves that as it is.
func (c *deviceImportCmd) owner(row *importRow) *string {
	switch {
	case c.Owners:
		return &row.second
	case c.Unowned, c.Owner != "":
		return &c.Owner
	default:
		return nil
	}
}

// deviceImportRow is what an import prints.
type deviceImportRow struct {
	Added int `json:"added"`
	Known int `json:"known"`
	Given int `json:"given"` // that have another owner now
}

// Run imports, in parts of 10,000; each part is all or nothing.
func (c *deviceImportCmd) Run(ctx context.Context, s streams) error {
	rows, err := readImport(s, c.File)
	if err != nil {
		return err
	}
	if c.Owners && rows[0].idevid != nil {
		return cli.Usage("%s has certificates; give all of them to one owner with --owner", c.File)
	}
	devices := make([]registraradmin.ImportDevice, len(rows))
	for i, row := range rows {
		devices[i] = registraradmin.ImportDevice{SerialNumber: row.serialNumber, IDevID: row.idevid, Owner: c.owner(&row)}
	}
	var total deviceImportRow
	err = c.operate(ctx, s, func(client *registraradmin.Client) error {
		return chunks(devices, maxDeviceImport, func(part []registraradmin.ImportDevice) error {
			done, err := client.ImportDevices(ctx, c.Manufacturer, part, c.DryRun)
			if err != nil {
				return err
			}
			for _, p := range done.Problems {
				fmt.Fprintf(s.Err, "row %d, %q: %s\n", p.Index+1, p.SerialNumber, p.Text)
			}
			if len(done.Problems) > 0 {
				return fmt.Errorf("nothing of these %d rows was imported: %d have problems", len(part), len(done.Problems))
			}
			total.Added += done.Added
			total.Known += done.Known
			total.Given += done.Given
			return nil
		})
	})
	if cli.Code(err) == cli.ExitNotFound {
		return cli.Hint(err, "add it to manufacturers in %s, and have the registrar load that with SIGHUP", c.Config)
	}
	if err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, total)
}

type deviceListCmd struct {
	registrarData
	output
}

// Run lists every device.
func (c *deviceListCmd) Run(ctx context.Context, s streams) error {
	var rows []registraradmin.Device
	err := c.operate(ctx, s, func(client *registraradmin.Client) error {
		for device, err := range client.Devices(ctx) {
			if err != nil {
				return err
			}
			rows = append(rows, device)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

// deviceArg names a device.
type deviceArg struct {
	Device string `arg:"" help:"Serial number, or ID."`
}

type deviceShowCmd struct {
	registrarData
	deviceArg
	output
}

// Run prints one device.
func (c *deviceShowCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		view, err := client.Device(ctx, c.Device)
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, view)
		}
		if err := cli.PrintOne(s.Out, c.Format, view.Device); err != nil {
			return err
		}
		if view.Owner != "" {
			s.Printf("owner  %s\n", view.Owner)
		}
		s.Printf("\ncertificates\n")
		if err := cli.PrintList(s.Out, c.Format, certificateRows(view.Certificates)); err != nil {
			return err
		}
		s.Printf("\nvouchers\n")
		if err := cli.PrintList(s.Out, c.Format, voucherRows(view.Vouchers)); err != nil {
			return err
		}
		s.Printf("\n")
		return printReports(s, view.Reports)
	})
}

// voucherRow is one line about a voucher exchange.
type voucherRow struct {
	At     time.Time `json:"at"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Nonce  string    `json:"nonce"`
}

func voucherRows(vouchers []registraradmin.Voucher) []voucherRow {
	var rows []voucherRow
	for _, v := range vouchers {
		rows = append(rows, voucherRow{v.At, v.State, v.Reason, v.Nonce})
	}
	return rows
}

type deviceWhyCmd struct {
	registrarData
	deviceArg
	output
}

// whyRow is one line of the explanation.
type whyRow struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	Actor  string    `json:"actor"`
	Body   string    `json:"details"`
}

// Run prints what was decided about a device, oldest first.
func (c *deviceWhyCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		why, err := client.Why(ctx, c.Device)
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, why)
		}
		for _, d := range why.Devices {
			s.Printf("%s is %s (record %s, made by %s)\n", d.SerialNumber, d.State, d.ID, d.Source)
		}
		if len(why.Devices) == 0 {
			s.Printf("%s is not in the inventory\n", why.SerialNumber)
		}
		for _, o := range why.Outstanding {
			s.Printf("issuance %s is open at issuer %s for %s\n", o.ID, o.Issuer, time.Since(o.IntendedAt).Round(time.Second))
		}
		for _, p := range why.Pending {
			s.Printf("request %s (%s) is %s %s\n", p.ID, p.Kind, p.State, p.Reason)
		}
		var rows []whyRow
		for _, e := range why.Entries {
			rows = append(rows, whyRow{e.At, e.Kind, e.Reason, e.Actor, string(e.Body)})
		}
		if err := cli.PrintList(s.Out, c.Format, rows); err != nil {
			return err
		}
		for _, w := range why.WaysOut {
			s.Printf("\n%s: %s\n", w.Reason, w.Text)
		}
		return nil
	})
}
