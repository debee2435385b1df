package main

import (
	"context"
	"errors"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaCmd struct {
	Serve   masaServeCmd   `cmd:"" default:"withargs" hidden:"" help:"Run the MASA."`
	Device  masaDeviceCmd  `cmd:"" help:"Devices that were built: import, list, show."`
	IDevID  masaIDevIDCmd  `cmd:"" name:"idevid" help:"Manufacturer certificates of devices: make a CA, issue, look at factory images."`
	Owner   masaOwnerCmd   `cmd:"" help:"To whom devices were sold: add, import, end."`
	Claim   masaClaimCmd   `cmd:"" help:"One-time codes by which a domain shows that it owns a device: create, redeem."`
	Block   masaBlockCmd   `cmd:"" help:"No voucher for a device that was stolen or recalled."`
	Drain   masaDrainCmd   `cmd:"" help:"Have the running server get no more requests, then end."`
	Renew   masaRenewCmd   `cmd:"" help:"Make the MASA's own certificates anew, for the same keys and names: TLS and voucher signers."`
	Unblock masaUnblockCmd `cmd:"" help:"Vouchers for a blocked device again."`
	Confirm masaConfirmCmd `cmd:"" name:"confirm-restore" help:"After a restore: say that the sales, blocks and ownerships since the backup are on record again."`
}

// Help says how the server is run, which is the command without a subcommand.
func (masaCmd) Help() string {
	return "briskest masa --config masa.yaml runs the server. With --check it loads the configuration and all it names, signs with each voucher key, says what is wrong, and exits."
}

type masaServeCmd struct {
	Config string `required:"" type:"existingfile" help:"masa.yaml."`
	Check  bool   `help:"Load the configuration and all it names, sign with each voucher key, say what is wrong, and exit."`
}

// Run serves until it is told to stop. SIGHUP loads the configuration again.
func (c *masaServeCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadMASAConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Check {
		settings, _, err := cfg.build(ctx)
		if err != nil {
			return err
		}
		return cfg.wrong(settings.CheckSigners(ctx, time.Now()))
	}
	service, _, err := startMASA(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	return service.serve(ctx)
}

// masaData names whose data a command works on.
type masaData struct {
	Config string `required:"" type:"existingfile" help:"masa.yaml; its server is asked when it runs, else its store is opened."`
}

// operate calls do with the running MASA, or with one opened for the purpose.
func (d *masaData) operate(ctx context.Context, s streams, do func(masaadmin.Operator) error) error {
	return d.issuing(ctx, s, func(_ *masaConfig, op masaadmin.Operator, _ record) error { return do(op) })
}

// masaFailure gives the MASA's sentinels their exit codes.
func masaFailure(err error) error {
	switch {
	case errors.Is(err, masa.ErrNotFound):
		return &cli.Error{Code: cli.ExitNotFound, Err: err, Hint: "briskest masa device list shows the devices on record, briskest masa device show one with its owners and claims"}
	case errors.Is(err, masa.ErrInvalid):
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	default:
		return err
	}
}

type masaDeviceCmd struct {
	Import masaImportCmd       `cmd:"" help:"Put what was built on record."`
	List   masaDeviceListCmd   `cmd:"" help:"List devices."`
	Show   masaDeviceShowCmd   `cmd:"" help:"One device with its owners, claims and vouchers."`
	Export masaDeviceExportCmd `cmd:"" help:"A signed manifest of what was built, or sold to somebody, for the buyer's registrar."`
	Log    masaDeviceLogCmd    `cmd:"" help:"The audit-log of one device, as a registrar gets it."`
}

type masaDeviceListCmd struct {
	masaData
	Product string `help:"Only this product line."`
	Batch   string `help:"Only this batch."`
	State   string `enum:",known,blocked" default:"" help:"Only this state: known or blocked."`
	output
}

// Run lists devices. Their certificates are left out: show has them.
func (c *masaDeviceListCmd) Run(ctx context.Context, s streams) error {
	var all []*masa.Device
	err := c.operate(ctx, s, func(op masaadmin.Operator) error {
		for page := (masa.Page{Limit: masa.MaxPage}); ; {
			rows, err := op.ListDevices(ctx, page)
			if err != nil {
				return err
			}
			for _, d := range rows {
				if c.wanted(d) {
					d.IDevID = nil
					all = append(all, d)
				}
			}
			if len(rows) < masa.MaxPage {
				return nil
			}
			page.After = rows[len(rows)-1].ID
		}
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, c.Format, all)
}

func (c *masaDeviceListCmd) wanted(d *masa.Device) bool {
	return (c.Product == "" || d.Product == c.Product) && (c.Batch == "" || d.Batch == c.Batch) &&
		(c.State == "" || string(d.State) == c.State)
}

type masaDeviceShowCmd struct {
	masaData
	masaDeviceArg
	output
}

// masaDeviceArg names a device.
type masaDeviceArg struct {
	SerialNumber string `arg:"" help:"Serial number."`
	Product      string `help:"Product line, where the serial number is in several."`
}

func (a *masaDeviceArg) ref() masa.DeviceRef {
	return masa.DeviceRef{Product: a.Product, SerialNumber: a.SerialNumber}
}

// Run prints one device.
func (c *masaDeviceShowCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		found, err := op.Device(ctx, c.ref())
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, found)
		}
		if err := cli.PrintOne(s.Out, c.Format, found.Device); err != nil {
			return err
		}
		s.Printf("\nowners\n")
		if err := cli.PrintList(s.Out, c.Format, found.Owners); err != nil {
			return err
		}
		s.Printf("\nclaims\n")
		if err := cli.PrintList(s.Out, c.Format, found.Claims); err != nil {
			return err
		}
		s.Printf("\nvouchers\n")
		return cli.PrintList(s.Out, c.Format, found.Vouchers)
	})
}

type masaDeviceLogCmd struct {
	masaData
	masaDeviceArg
	output
}

// logRow is one line of an audit-log.
type logRow struct {
	Date      time.Time `json:"date"`
	DomainID  string    `json:"domain_id"`
	Nonce     string    `json:"nonce"`
	Assertion string    `json:"assertion"`
	Truncated int       `json:"truncated"`
}

// Run prints the audit-log (RFC 8995, Section 5.8.1).
func (c *masaDeviceLogCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		log, err := op.AuditLog(ctx, c.ref())
		if err != nil {
			return err
		}
		rows := []logRow{}
		for _, e := range log.Events {
			row := logRow{Date: e.Date, DomainID: e.DomainID, Assertion: string(e.Assertion), Truncated: e.Truncated}
			if e.Nonce != nil {
				row.Nonce = *e.Nonce
			}
			rows = append(rows, row)
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type masaBlockCmd struct {
	masaData
	masaDeviceArg
	Reason string `help:"Why, for the record."`
	output
}

// Run blocks a device.
func (c *masaBlockCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		device, err := op.Block(ctx, &masa.BlockRequest{DeviceRef: c.ref(), Reason: c.Reason, By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, device)
	})
}

type masaUnblockCmd struct {
	masaData
	masaDeviceArg
	Reason string `help:"Why, for the record."`
	output
}

// Run unblocks a device.
func (c *masaUnblockCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		device, err := op.Unblock(ctx, &masa.BlockRequest{DeviceRef: c.ref(), Reason: c.Reason, By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, device)
	})
}
