package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/registrar"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/baseline"
)

type baselineCmd struct {
	Apply    baselineApplyCmd    `cmd:"" help:"Make a file the newest baseline of a group: its devices get it when they next ask."`
	Show     baselineShowCmd     `cmd:"" help:"Print a version of a group's baseline."`
	List     baselineListCmd     `cmd:"" help:"List the newest version of each group's baseline, or all versions of one."`
	Rollback baselineRollbackCmd `cmd:"" help:"Make an earlier version the newest again."`
	Status   baselineStatusCmd   `cmd:"" help:"Which device has which version, and what it said of it."`
}

// baselineGroup names whose baseline it is.
type baselineGroup struct {
	Group string `help:"The group; without, the domain's, for devices whose group has none."`
}

func (g *baselineGroup) text() string { return baselineOf(g.Group) }

func baselineOf(group string) string {
	if group == "" {
		return "(domain)"
	}
	return group
}

type baselineApplyCmd struct {
	registrarData
	baselineGroup
	File string `arg:"" help:"The baseline, JSON of at most 64 KiB: {\"schema\": 1, \"settings\": {...}}; - for standard input."`
	Base *int64 `placeholder:"VERSION" help:"Refuse unless this version is still the newest."`
	Note string `help:"What for; kept with the version."`
	output
}

// Run applies.
func (c *baselineApplyCmd) Run(ctx context.Context, s streams) error {
	document, err := readBounded(s.In, c.File, registrar.MaxBaseline)
	if err != nil {
		return err
	}
	if err := (baseline.Maker{}).Check(document); err != nil { // so that what is wrong is said without a server
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		got, err := client.ApplyBaseline(ctx, registraradmin.BaselineChange{Group: c.Group, Document: document, Base: c.Base, Note: c.Note})
		if err != nil {
			return err
		}
		return printBaseline(s, c.Format, got)
	})
}

func printBaseline(s streams, format string, got *registraradmin.BaselineVersion) error {
	if format == cli.JSON {
		return cli.PrintOne(s.Out, format, got)
	}
	s.Printf("version %d of the baseline of %s is in force; devices get it when they next ask\n", got.Version, baselineOf(got.Group))
	return nil
}

type baselineRollbackCmd struct {
	registrarData
	baselineGroup
	Version int64  `arg:"" help:"The version, as baseline list --group lists it."`
	Base    *int64 `placeholder:"VERSION" help:"Refuse unless this version is still the newest."`
	Note    string `help:"What for; kept with the version."`
	output
}

// Run rolls back.
func (c *baselineRollbackCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		got, err := client.ApplyBaseline(ctx, registraradmin.BaselineChange{Group: c.Group, Rollback: c.Version, Base: c.Base, Note: c.Note})
		if err != nil {
			return err
		}
		return printBaseline(s, c.Format, got)
	})
}

type baselineShowCmd struct {
	registrarData
	baselineGroup
	Version int64 `arg:"" optional:"" help:"The version; the newest when left out."`
}

// Run prints a document, which baseline apply reads again.
func (c *baselineShowCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		got, err := client.Baseline(ctx, c.Group, c.Version)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(got.Document, "", "  ")
		if err != nil {
			return err
		}
		s.Printf("%s\n", text)
		return nil
	})
}

type baselineListCmd struct {
	registrarData
	baselineGroup
	Versions bool `help:"All versions of the domain's, or with --group of the group's."`
	output
}

// baselineRow is one line about a version.
type baselineRow struct {
	Group   string    `json:"group"`
	Version int64     `json:"version"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Of      int64     `json:"rolled_back_to"`
	Note    string    `json:"note"`
}

// Run lists.
func (c *baselineListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		var list *registraradmin.BaselineVersions
		var err error
		if c.Versions || c.Group != "" {
			list, err = client.BaselineVersions(ctx, c.Group, 0, 1000)
		} else {
			list, err = client.Baselines(ctx)
		}
		if err != nil {
			return err
		}
		rows := make([]baselineRow, len(list.Baselines))
		for i, b := range list.Baselines {
			rows[i] = baselineRow{baselineOf(b.Group), b.Version, b.At, b.Actor, b.Of, b.Note}
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type baselineStatusCmd struct {
	registrarData
	baselineGroup
	Device string `arg:"" optional:"" help:"Serial number, or ID; all devices when left out."`
	Counts bool   `help:"Only how many devices have which version."`
	State  string `enum:",none,never,outdated,unacknowledged,received,applied,failed" default:"" help:"Only devices in this state: none, never, outdated, unacknowledged, received, applied or failed."`
	output
}

// deviceBaselineRow is one line about a device.
type deviceBaselineRow struct {
	SerialNumber string `json:"serial_number"`
	Group        string `json:"group"`
	State        string `json:"state"`
	Wanted       string `json:"wanted"`
	Has          string `json:"has"`
	Delivered    string `json:"delivered_at"`
	Acknowledged string `json:"acknowledged_at"`
	Message      string `json:"message"`
}

// Run says who has what.
func (c *baselineStatusCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		switch {
		case c.Counts:
			counts, err := client.BaselineCounts(ctx)
			if err != nil {
				return err
			}
			for i := range counts.Counts {
				counts.Counts[i].Group = baselineOf(counts.Counts[i].Group)
			}
			return cli.PrintList(s.Out, c.Format, counts.Counts)
		case c.Device != "":
			one, err := client.BaselineOf(ctx, c.Device)
			if err != nil {
				return err
			}
			return cli.PrintOne(s.Out, c.Format, one)
		}
		var rows []deviceBaselineRow
		for d, err := range client.BaselinesOf(ctx, registraradmin.BaselineDevices{Group: c.Group}) {
			if err != nil {
				return err
			}
			if c.State == "" || c.State == d.State {
				rows = append(rows, rowOfBaseline(&d))
			}
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

func rowOfBaseline(d *registraradmin.DeviceBaseline) deviceBaselineRow {
	version := func(group string, version int64) string {
		if version == 0 {
			return "-"
		}
		return fmt.Sprintf("%s/%d", baselineOf(group), version)
	}
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	return deviceBaselineRow{
		d.SerialNumber, groupName(d.Group), d.State, version(d.WantedGroup, d.WantedVersion), version(d.HasGroup, d.HasVersion),
		at(d.DeliveredAt), at(d.AcknowledgedAt), d.Message,
	}
}
