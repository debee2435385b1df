package main

import (
	"context"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type deviceCmd struct {
	Import deviceImportCmd `cmd:"" help:"Admit serial numbers of a manufacturer."`
	Export deviceExportCmd `cmd:"" help:"Write devices as an import reads them."`
	List   deviceListCmd   `cmd:"" help:"List devices, by what they have."`
	Show   deviceShowCmd   `cmd:"" help:"One device with its certificates, vouchers and telemetry."`
	Why    deviceWhyCmd    `cmd:"" help:"Why a device got what it got: every decision and refusal."`

	Related      deviceRelatedCmd      `cmd:"" help:"What a device has in common with others, and who they are."`
	Suspend      deviceSuspendCmd      `cmd:"" help:"Take a device out of service."`
	Resume       deviceResumeCmd       `cmd:"" help:"Put a suspended device back into service."`
	Decommission deviceDecommissionCmd `cmd:"" help:"Have a device leave: certificates revoked, receipt signed."`
	Readmit      deviceReadmitCmd      `cmd:"" help:"Let a decommissioned device onboard again."`
	Transfer     deviceTransferCmd     `cmd:"" help:"Decommission a device that somebody else has from now on."`

	Evidence deviceEvidenceCmd `cmd:"" help:"How a device got its vouchers: artifacts, audit-log and telemetry."`
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
		s.Printf("\nslots\n")
		if err := cli.PrintList(s.Out, c.Format, slotRows(view.Slots)); err != nil {
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

// slotRow is one version of a credential.
type slotRow struct {
	Profile   string     `json:"profile"`
	Subject   string     `json:"subject"`
	Version   int        `json:"version"`
	State     string     `json:"state"`
	Serial    string     `json:"serial"`
	Confirmed *time.Time `json:"confirmed_at"`
	Retired   *time.Time `json:"retired_at"`
}

func slotRows(slots []registraradmin.Slot) []slotRow {
	var rows []slotRow
	for _, slot := range slots {
		for i := range slot.Versions {
			v := &slot.Versions[i]
			rows = append(rows, slotRow{slot.Profile, slot.Subject, v.Version, v.State, v.Serial, v.ConfirmedAt, v.RetiredAt})
		}
	}
	return rows
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
