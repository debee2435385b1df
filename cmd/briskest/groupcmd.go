package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/groups"
)

type groupCmd struct {
	Plan     groupPlanCmd     `cmd:"" help:"Which devices would move if a groups file were applied; changes nothing."`
	Apply    groupApplyCmd    `cmd:"" help:"Put a groups file into force, and move the devices."`
	List     groupListCmd     `cmd:"" help:"List the groups in force, in the order in which they are asked."`
	Show     groupShowCmd     `cmd:"" help:"Print a version of the groups document, or list the versions."`
	Explain  groupExplainCmd  `cmd:"" help:"Why a device is in its group: each rule up to the one that matches."`
	Assign   groupAssignCmd   `cmd:"" help:"Put a device into a group by name, or leave it to the rules again."`
	Rollback groupRollbackCmd `cmd:"" help:"Put an earlier version of the groups into force again."`
}

// groupsFile is a groups document in YAML or JSON.
type groupsFile struct {
	File string `arg:"" help:"The groups, in YAML or JSON; - for standard input."`
	Base *int64 `placeholder:"VERSION" help:"Refuse unless this version is still in force, as the plan said."`
}

// read checks the document here, so that what is wrong is said without a server.
func (f *groupsFile) read(s streams) (json.RawMessage, error) {
	data, err := readBounded(s.In, f.File, groups.MaxDocument)
	if err != nil {
		return nil, err
	}
	d := new(groups.Document)
	if err := config.Decode(data, d); err != nil {
		return nil, fmt.Errorf("%s: %w", f.File, err)
	}
	if _, err := groups.New(d); err != nil {
		return nil, fmt.Errorf("%s: %w", f.File, err)
	}
	return d.JSON()
}

// moveRow is one line of a plan.
type moveRow struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Devices  int    `json:"devices"`
	Examples string `json:"examples"`
}

func printPlan(s streams, format, would string, plan *registraradmin.GroupsPlan) error {
	if format == cli.JSON {
		return cli.PrintOne(s.Out, format, plan)
	}
	if format == cli.Table {
		s.Printf("version %d on version %d: %d of %d devices %s, %d are there by name\nmoves %s\n\n", plan.Version, plan.Base, plan.Moved, plan.Devices, would, plan.Pinned, plan.Digest)
	}
	rows := make([]moveRow, len(plan.Moves))
	for i, m := range plan.Moves {
		rows[i] = moveRow{groupName(m.From), groupName(m.To), m.Devices, strings.Join(m.Examples, " ")}
	}
	return cli.PrintList(s.Out, format, rows)
}

func groupName(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}

type groupPlanCmd struct {
	registrarData
	groupsFile
	output
}

// Run plans.
func (c *groupPlanCmd) Run(ctx context.Context, s streams) error {
	document, err := c.read(s)
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		plan, err := client.ApplyGroups(ctx, registraradmin.GroupsChange{Document: document, Base: c.Base, DryRun: true})
		if err != nil {
			return err
		}
		return printPlan(s, c.Format, "would move", plan)
	})
}

type groupApplyCmd struct {
	registrarData
	groupsFile
	Note   string `help:"What for; kept with the version."`
	DryRun bool   `help:"Plan only, as group plan does."`
	output
}

// Run applies.
func (c *groupApplyCmd) Run(ctx context.Context, s streams) error {
	document, err := c.read(s)
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		plan, err := client.ApplyGroups(ctx, registraradmin.GroupsChange{Document: document, Base: c.Base, Note: c.Note, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return printPlan(s, c.Format, map[bool]string{true: "would move", false: "moved"}[c.DryRun], plan)
	})
}

type groupRollbackCmd struct {
	registrarData
	Version int64  `arg:"" help:"The version, as group show --versions lists it."`
	Base    *int64 `placeholder:"VERSION" help:"Refuse unless this version is still in force."`
	Note    string `help:"What for; kept with the version."`
	DryRun  bool   `help:"Plan only."`
	output
}

// Run rolls back.
func (c *groupRollbackCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		plan, err := client.ApplyGroups(ctx, registraradmin.GroupsChange{Rollback: c.Version, Base: c.Base, Note: c.Note, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return printPlan(s, c.Format, map[bool]string{true: "would move", false: "moved"}[c.DryRun], plan)
	})
}

type groupListCmd struct {
	registrarData
	output
}

// groupRow is one line about a group.
type groupRow struct {
	Name         string `json:"name"`
	Priority     int    `json:"priority"`
	Decision     string `json:"decision"`
	Profile      string `json:"profile"`
	Lifetime     string `json:"lifetime"`
	Applications string `json:"applications"`
	Baseline     string `json:"baseline"`
}

// Run lists the groups in force.
func (c *groupListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		list, err := client.Groups(ctx)
		if err != nil {
			return err
		}
		if c.Format == cli.JSON {
			return cli.PrintOne(s.Out, c.Format, list)
		}
		rows := make([]groupRow, 0, len(list.Groups))
		for _, g := range list.Groups {
			row := groupRow{g.Name, g.Priority, g.Decision, g.Profile, g.Lifetime, strings.Join(slices.Sorted(maps.Keys(g.Applications)), " "), g.Baseline}
			if g.ByName {
				row.Decision = strings.TrimSpace(row.Decision + " by-name")
			}
			rows = append(rows, row)
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type groupShowCmd struct {
	registrarData
	Version  int64 `arg:"" optional:"" help:"The version; the newest when left out."`
	Versions bool  `help:"List the versions, the newest first."`
	output
}

// groupsVersionRow is one line about a version.
type groupsVersionRow struct {
	Version int64     `json:"version"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Moved   int64     `json:"moved"`
	Applied bool      `json:"applied"`
	Of      int64     `json:"rolled_back_to"`
	Note    string    `json:"note"`
}

// Run prints a document, which group apply reads again, or lists versions.
func (c *groupShowCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		if !c.Versions {
			version, err := client.GroupsVersion(ctx, c.Version)
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(version.Document, "", "  ")
			if err != nil {
				return err
			}
			s.Printf("%s\n", text)
			return nil
		}
		list, err := client.GroupsVersions(ctx, 0, 1000)
		if err != nil {
			return err
		}
		rows := make([]groupsVersionRow, len(list.Versions))
		for i, v := range list.Versions {
			rows[i] = groupsVersionRow{v.Version, v.At, v.Actor, v.Moved, v.Applied, v.Of, v.Note}
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type groupExplainCmd struct {
	registrarData
	deviceArg
	output
}

// Run explains.
func (c *groupExplainCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		e, err := client.ExplainGroup(ctx, c.Device)
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, e)
		}
		switch {
		case e.Version == 0:
			s.Printf("no groups were applied yet: %s gets what its label gives\n", e.SerialNumber)
			return nil
		case e.Group == "":
			s.Printf("%s is in no group of version %d: it gets what its label gives\n", e.SerialNumber, e.Version)
		default:
			s.Printf("%s is in group %s of version %d, by %s\n", e.SerialNumber, e.Group, e.Version, e.Rule)
		}
		if e.Recorded != e.Group {
			s.Printf("the record has it in %s until its next request, or the next group apply\n", groupName(e.Recorded))
		}
		if e.Problem != "" {
			s.Printf("nothing is issued to it: %s\n", e.Problem)
		}
		if e.Unmet != "" {
			s.Printf("it does not meet the requirement %s: %s\n", e.Unmet, e.UnmetMessage)
		}
		s.Printf("\n")
		return cli.PrintList(s.Out, c.Format, e.Verdicts)
	})
}

type groupAssignCmd struct {
	registrarData
	deviceArg
	Group  string `arg:"" optional:"" help:"The group."`
	Rules  bool   `help:"Leave the device to the rules again, in place of a group."`
	Reason string `help:"Why, for the record."`
	output
}

// Run assigns.
func (c *groupAssignCmd) Run(ctx context.Context, s streams) error {
	if (c.Group == "") != c.Rules {
		return cli.Usage("name a group, or --rules to leave the device to the rules")
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		device, err := client.AssignGroup(ctx, c.Device, c.Group, c.Reason)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, device)
	})
}
