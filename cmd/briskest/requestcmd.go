package main

import (
	"context"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type requestCmd struct {
	List    requestListCmd    `cmd:"" help:"List requests that wait, and sightings of unknown manufacturers."`
	Approve requestApproveCmd `cmd:"" help:"Let a request through when the device asks again."`
	Deny    requestDenyCmd    `cmd:"" help:"Refuse a request; the device is told the reason."`
}

type requestListCmd struct {
	registrarData
	State string `enum:"waiting,approved,denied,all" default:"waiting" help:"waiting, approved, denied or all."`
	output
}

// Run lists requests, newest first.
func (c *requestListCmd) Run(ctx context.Context, s streams) error {
	state := c.State
	if state == "all" {
		state = ""
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		rows, err := client.Requests(ctx, state)
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

// requestArg names a request.
type requestArg struct {
	ID     string `arg:"" help:"The request, as request list shows it."`
	Reason string `help:"Why, for the record, and for the device when it is denied."`
}

type requestApproveCmd struct {
	registrarData
	requestArg
	output
}

// Run approves a request.
func (c *requestApproveCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		row, err := client.Approve(ctx, c.ID, c.Reason)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, row)
	})
}

type requestDenyCmd struct {
	registrarData
	requestArg
	output
}

// Run denies a request.
func (c *requestDenyCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		row, err := client.Deny(ctx, c.ID, c.Reason)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, row)
	})
}
