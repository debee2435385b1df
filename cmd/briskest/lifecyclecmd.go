package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// deviceChange names one device, and why something is done to it.
type deviceChange struct {
	registrarData
	Device string `arg:"" help:"ID or serial number."`
	Reason string `help:"Why; on the trail."`
	output
}

// change prints what becomes of the device.
func (c *deviceChange) change(ctx context.Context, s streams, do func(*registraradmin.Client) (*registraradmin.Device, error)) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		d, err := do(client)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, deviceRow(d))
	})
}

// deviceStateRow is a device and its state.
type deviceStateRow struct {
	ID           string `json:"id"`
	Manufacturer string `json:"manufacturer"`
	SerialNumber string `json:"serial_number"`
	State        string `json:"state"`
}

func deviceRow(d *registraradmin.Device) deviceStateRow {
	return deviceStateRow{d.ID, d.Manufacturer, d.SerialNumber, d.State}
}

type deviceSuspendCmd struct{ deviceChange }

// Run suspends a device.
func (c *deviceSuspendCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, func(client *registraradmin.Client) (*registraradmin.Device, error) {
		return client.Suspend(ctx, c.Device, c.Reason)
	})
}

type deviceResumeCmd struct{ deviceChange }

// Run resumes a suspended device.
func (c *deviceResumeCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, func(client *registraradmin.Client) (*registraradmin.Device, error) {
		return client.Resume(ctx, c.Device, c.Reason)
	})
}

type deviceReadmitCmd struct{ deviceChange }

// Run lets a decommissioned device onboard again.
func (c *deviceReadmitCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, func(client *registraradmin.Client) (*registraradmin.Device, error) {
		return client.Readmit(ctx, c.Device, c.Reason)
	})
}

// receiptFlags say where the receipt goes.
type receiptFlags struct {
	deviceChange
	Receipt string `help:"File for the signed receipt (JWS in JSON); it must not be there. Without it, it is printed." type:"path"`
}

func (c *receiptFlags) decommission(ctx context.Context, s streams, to string) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		if c.Receipt != "" {
			if _, err := os.Lstat(c.Receipt); err == nil {
				return cli.Hint(fmt.Errorf("%s is there already", c.Receipt), "name another file; receipts are not replaced")
			}
		}
		out, err := client.Decommission(ctx, registraradmin.Decommission{Device: c.Device, Reason: c.Reason, To: to})
		if err != nil {
			return err
		}
		if c.Receipt == "" {
			_, err := fmt.Fprintf(s.Out, "%s\n", out.Receipt)
			return err
		}
		if err := os.WriteFile(c.Receipt, out.Receipt, 0o600); err != nil {
			return cli.Hint(err, "the device is decommissioned; the same command with another --receipt writes one")
		}
		return cli.PrintOne(s.Out, c.Format, deviceRow(&out.Device))
	})
}

type deviceDecommissionCmd struct{ receiptFlags }

// Run has a device leave.
func (c *deviceDecommissionCmd) Run(ctx context.Context, s streams) error {
	return c.decommission(ctx, s, "")
}

type deviceTransferCmd struct {
	receiptFlags
	To string `required:"" help:"Who has the device from now on; in the receipt."`
}

// Help says what is to be done besides.
func (deviceTransferCmd) Help() string {
	return "It decommissions the device here. The manufacturer has to know the new owner too: briskest masa owner, or whatever the vendor offers; else its MASA refuses, or its audit-log tells the new owner of this network."
}

// Run has a device leave for somebody else.
func (c *deviceTransferCmd) Run(ctx context.Context, s streams) error {
	return c.decommission(ctx, s, c.To)
}

type quarantineCmd struct {
	Place quarantinePlaceCmd `cmd:"" help:"Bar devices by what they have in common."`
	List  quarantineListCmd  `cmd:"" help:"List what is in quarantine."`
	Lift  quarantineLiftCmd  `cmd:"" help:"End a quarantine."`
}

type quarantinePlaceCmd struct {
	registrarData
	Device       string `xor:"what" required:"" help:"One device: ID or serial number."`
	Group        string `xor:"what" required:"" help:"All devices of a group."`
	Manufacturer string `xor:"what" required:"" help:"All devices of a manufacturer."`
	Model        string `xor:"what" required:"" help:"All devices of a model."`
	Batch        string `xor:"what" required:"" help:"All devices of a batch of manufacturing."`
	Firmware     string `xor:"what" required:"" help:"All devices with a version of firmware."`
	Of           string `help:"Manufacturer of the model, batch or firmware; any without it."`
	Reason       string `help:"Why; on the trail."`
	DryRun       bool   `help:"Only count the devices."`
	output
}

// quarantineRow is one quarantine.
type quarantineRow struct {
	ID           string `json:"id"`
	Kind         string `json:"kind"`
	Manufacturer string `json:"manufacturer"`
	Value        string `json:"value"`
	Devices      *int   `json:"devices,omitempty"`
	At           string `json:"at"`
	By           string `json:"by"`
	Reason       string `json:"reason"`
	Lifted       string `json:"lifted"`
}

func quarantineRowOf(q *registraradmin.Quarantine) quarantineRow {
	row := quarantineRow{ID: q.ID, Kind: q.Kind, Manufacturer: q.Manufacturer, Value: q.Value, At: timeText(q.At), By: q.By, Reason: q.Reason}
	if q.LiftedAt != nil {
		row.Lifted = timeText(*q.LiftedAt) + " " + q.LiftedBy
	}
	return row
}

// Run bars devices from the next request on.
func (c *quarantinePlaceCmd) Run(ctx context.Context, s streams) error {
	in := registraradmin.PlaceQuarantine{Manufacturer: c.Of, Reason: c.Reason, DryRun: c.DryRun}
	for kind, value := range map[string]string{"device": c.Device, "group": c.Group, "manufacturer": c.Manufacturer, "model": c.Model, "batch": c.Batch, "firmware": c.Firmware} {
		if value != "" {
			in.Kind, in.Value = kind, value
		}
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		out, err := client.PlaceQuarantine(ctx, in)
		if err != nil {
			return err
		}
		row := quarantineRowOf(&out.Quarantine)
		row.Devices = &out.Devices
		return cli.PrintOne(s.Out, c.Format, row)
	})
}

type quarantineListCmd struct {
	registrarData
	All bool `help:"Those that were lifted, too."`
	output
}

// Run lists quarantines, oldest first.
func (c *quarantineListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		list, err := client.Quarantines(ctx, c.All)
		if err != nil {
			return err
		}
		rows := make([]quarantineRow, len(list))
		for i := range list {
			rows[i] = quarantineRowOf(&list[i])
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type quarantineLiftCmd struct {
	registrarData
	ID     string `arg:"" help:"ID, as quarantine list shows it."`
	Reason string `help:"Why; on the trail."`
	output
}

// Run ends a quarantine.
func (c *quarantineLiftCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		q, err := client.LiftQuarantine(ctx, c.ID, c.Reason)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, quarantineRowOf(q))
	})
}

// timeText writes a time as the tables have it.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
