package main

import (
	"context"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type caCRLCmd struct {
	registrarData
	Authority string `help:"Name of the issuer whose CA signs, or of a CA's key as ca list -o json shows it; the default issuer otherwise."`
	Partition string `placeholder:"COUNT/INDEX" help:"One of COUNT lists, as in the URL that a certificate names, such as 16/3; the list of all otherwise."`
	Delta     bool   `help:"What changed since the oldest full list that is still good (RFC 5280, Section 5.2.4)."`
	Out       string `help:"Write to this file instead of standard output."`
	DER       bool   `name:"der" help:"DER instead of PEM."`
}

// Run signs a list of every revoked certificate that has not expired.
func (c *caCRLCmd) Run(ctx context.Context, s streams) error {
	in := registraradmin.SignCRL{Authority: c.Authority, Delta: c.Delta}
	if c.Partition != "" {
		count, index, ok := strings.Cut(c.Partition, "/")
		var err1, err2 error
		in.Partitions, err1 = strconv.Atoi(count)
		in.Index, err2 = strconv.Atoi(index)
		if !ok || err1 != nil || err2 != nil || in.Partitions < 1 {
			return cli.Usage("--partition is COUNT/INDEX, such as 16/3, and not %q", c.Partition)
		}
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		crl, err := client.SignCRL(ctx, in)
		if err != nil {
			return err
		}
		if c.DER {
			return writeOut(s, c.Out, crl.Raw)
		}
		return writeOut(s, c.Out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.Raw}))
	})
}
