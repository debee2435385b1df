package main

import (
	"context"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaConfirmCmd struct {
	masaData
	output
}

// Run confirms every restore that is not confirmed yet. Until then the MASA refuses
// what does not show that it was asked after the restore.
func (c *masaConfirmCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		confirmed, err := op.ConfirmRestore(ctx, &masa.RestoreConfirmation{By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, confirmed)
	})
}
