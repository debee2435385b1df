package main

import (
	"context"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type codeAddCmd struct {
	registrarData
	Serial  string          `arg:"" help:"Serial number of the device that may enroll with it."`
	Expires config.Duration `default:"7d" help:"How long it is good, such as 12h or 30d."`
	output
}

// Run makes a code.
func (c *codeAddCmd) Run(ctx context.Context, s streams) error {
	if c.Expires <= 0 {
		return cli.Usage("--expires is not above 0")
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		added, err := client.AddCode(ctx, c.Serial, time.Duration(c.Expires))
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, added)
	})
}

type codeListCmd struct {
	registrarData
	output
}

// Run lists codes.
func (c *codeListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		var rows []registraradmin.Code
		for row, err := range client.Codes(ctx) {
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type codeRevokeCmd struct {
	registrarData
	Serial string `arg:"" help:"Serial number that the code is for."`
}

// Run revokes a code.
func (c *codeRevokeCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error { return client.RevokeCode(ctx, c.Serial) })
}
