package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaCmd struct {
	Serve   masaServeCmd   `cmd:"" default:"withargs" hidden:"" help:"Run the MASA."`
	Device  masaDeviceCmd  `cmd:"" help:"Devices that were built: import, list, show."`
	Owner   masaOwnerCmd   `cmd:"" help:"To whom devices were sold: add."`
	Block   masaBlockCmd   `cmd:"" help:"No voucher for a device that was stolen or recalled."`
	Unblock masaUnblockCmd `cmd:"" help:"Vouchers for a blocked device again."`
}

type masaServeCmd struct {
	Config string `required:"" type:"existingfile" help:"masa.yaml."`
	Check  bool   `help:"Load the configuration and all it names, say what is wrong with it, and exit."`
}

// Run serves until it is told to stop. SIGHUP loads the configuration again.
func (c *masaServeCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadMASAConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Check {
		_, _, err := cfg.build(ctx)
		return err
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
	cfg, err := loadMASAConfig(d.Config)
	if err != nil {
		return err
	}
	socket := cfg.path(cfg.Listen.Admin)
	if answers(ctx, socket) {
		return masaFailure(do(masaadmin.NewClient(func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, socket) })))
	}
	cfg.Log.Level = "error"
	role, err := openMASA(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	return errors.Join(masaFailure(do(role.service)), role.close())
}

// masaFailure gives the MASA's sentinels their exit codes.
func masaFailure(err error) error {
	switch {
	case errors.Is(err, masa.ErrNotFound):
		return &cli.Error{Code: cli.ExitNotFound, Err: err, Hint: "briskest masa device list shows what is on record"}
	case errors.Is(err, masa.ErrInvalid):
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	default:
		return err
	}
}

type masaDeviceCmd struct {
	Import masaImportCmd     `cmd:"" help:"Put what was built on record."`
	List   masaDeviceListCmd `cmd:"" help:"List devices."`
	Show   masaDeviceShowCmd `cmd:"" help:"One device with its owners and vouchers."`
}

type masaDeviceListCmd struct {
	masaData
	output
}

// Run lists every device.
func (c *masaDeviceListCmd) Run(ctx context.Context, s streams) error {
	var all []*masa.Device
	err := c.operate(ctx, s, func(op masaadmin.Operator) error {
		for page := (masa.Page{Limit: masa.MaxPage}); ; {
			rows, err := op.ListDevices(ctx, page)
			if err != nil {
				return err
			}
			all = append(all, rows...)
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
		s.Printf("\nvouchers\n")
		return cli.PrintList(s.Out, c.Format, found.Vouchers)
	})
}

type masaOwnerCmd struct {
	Add masaOwnerAddCmd `cmd:"" help:"Note to whom a device was sold; from then on only that owner gets vouchers."`
}

type masaOwnerAddCmd struct {
	masaData
	masaDeviceArg
	Certificate string `type:"existingfile" help:"PEM file of the owner's domain CA."`
	Fingerprint string `help:"SHA-256 of the owner's domain CA certificate, in hex."`
	DomainID    string `name:"domain-id" help:"The owner's domainID (RFC 8995, Section 5.8.2), in hex."`
	Name        string `help:"The customer, for people."`
	Replace     bool   `help:"End earlier claims."`
	output
}

// Run notes the owner.
func (c *masaOwnerAddCmd) Run(ctx context.Context, s streams) error {
	claim := &masa.OwnerClaim{DeviceRef: c.ref(), Name: c.Name, Replace: c.Replace, By: actor()}
	var err error
	if c.Certificate != "" {
		certs, err := pemfile.Certificates(c.Certificate)
		if err != nil {
			return err
		}
		claim.Certificate = certs[len(certs)-1].Raw
	}
	if claim.Fingerprint, err = hex.DecodeString(c.Fingerprint); err != nil {
		return cli.Usage("--fingerprint: %w", err)
	}
	if claim.DomainID, err = hex.DecodeString(c.DomainID); err != nil {
		return cli.Usage("--domain-id: %w", err)
	}
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		owner, err := op.AddOwner(ctx, claim)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, owner)
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
