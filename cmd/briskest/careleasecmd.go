package main

import (
	"context"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type caReleaseCmd struct {
	registrarData
	Serial string `arg:"" help:"Serial number, in hex as ca list shows it."`
	output
}

// Run takes a certificate from hold.
func (c *caReleaseCmd) Run(ctx context.Context, s streams) error {
	serial := strings.ToLower(strings.ReplaceAll(c.Serial, ":", ""))
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		cert, err := client.Release(ctx, registraradmin.Revoke{CertificateRef: registraradmin.CertificateRef{Serial: serial}})
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, certificateRows([]registraradmin.Certificate{*cert})[0])
	})
}
