package main

import (
	"context"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type deviceRelatedCmd struct {
	registrarData
	Device string `arg:"" help:"ID or serial number."`
	output
}

// relatedRow is one thing that a device has in common with others.
type relatedRow struct {
	Of      string `json:"of"`
	Value   string `json:"value"`
	Devices int    `json:"devices"`
	Others  string `json:"others"`
	Do      string `json:"do"`
}

// Help says what to do with it.
func (deviceRelatedCmd) Help() string {
	return "After an incident: who else has this key, this credential, this issuer, this firmware. The last column bars or revokes them in one call."
}

// Run prints what a device has in common with others, and the call that stops them all.
func (c *deviceRelatedCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		list, err := client.Related(ctx, c.Device)
		if err != nil {
			return err
		}
		rows := make([]relatedRow, len(list))
		for i, r := range list {
			rows[i] = relatedRow{r.Of, r.Value, r.Devices, strings.Join(r.Serials, " "), stopAll(r.Of, r.Value)}
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

// stopAll is the command that stops all that have something in common.
func stopAll(of, value string) string {
	quoted := "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	switch of {
	case "key", "credential", "issuer":
		return "ca revoke --" + of + " " + quoted
	case "group", "manufacturer", "model", "batch", "firmware":
		return "quarantine place --" + of + " " + quoted
	default:
		return "quarantine place --device, one by one"
	}
}
