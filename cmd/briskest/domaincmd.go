package main

import (
	"context"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type domainCmd struct {
	Show domainShowCmd `cmd:"" help:"How a domain is doing: its devices and what it may hold, what waits, what was refused."`
}

type domainShowCmd struct {
	registrarData
	output
}

// Run shows one domain, of whichever registrar was asked.
func (c *domainShowCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, status)
	})
}
