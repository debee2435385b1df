package main

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/conformance/brskipledge"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type conformPledgeCmd struct {
	conformPeerFlags
	VoucherCert string `name:"voucher-cert" type:"existingfile" help:"PEM file of a certificate that the pledge takes vouchers from, and its chain, for a pledge that brings its own IDevID; without it the pledge is handed an IDevID and an anchor that are made for the run."`
	VoucherKey  string `name:"voucher-key" help:"Key of --voucher-cert: a file, or a keystore URI."`
	IDevID      string `name:"idevid" type:"existingfile" help:"PEM file of the pledge's IDevID, with --voucher-cert."`
	conformFlags
}

// Run is unkind to the pledge and prints the report.
func (c *conformPledgeCmd) Run(ctx context.Context, s streams) error {
	end := func() {}
	defer func() { end() }()
	return conform(ctx, s, &c.conformFlags, brskipledge.Checks(), "pledge", func() (*brskipledge.Target, func(context.Context) error, error) {
		house, ended, err := c.house(s, &c.conformFlags)
		if err != nil {
			return nil, nil, err
		}
		end = ended
		t := &brskipledge.Target{House: unkind.House{Start: house.Start, Listen: house.Listen, Host: house.Host, Dir: house.Dir}}
		if err := c.own(ctx, t); err != nil {
			return nil, nil, err
		}
		return t, c.ready(s, t), nil
	})
}

// own reads what a pledge that brings its own is known by.
func (c *conformPledgeCmd) own(ctx context.Context, t *brskipledge.Target) error {
	given := 0
	for _, f := range []string{c.VoucherCert, c.VoucherKey, c.IDevID} {
		if f != "" {
			given++
		}
	}
	switch given {
	case 0:
		return nil
	case 3:
	default:
		return cli.Usage("--voucher-cert, --voucher-key and --idevid go together")
	}
	certs, err := pemfile.Certificates(c.IDevID)
	if err != nil {
		return fmt.Errorf("--idevid: %w", err)
	}
	t.IDevID = certs[0]
	if t.Signer, err = pemfile.Identity(ctx, c.VoucherCert, keyURI(c.VoucherKey)); err != nil {
		return fmt.Errorf("--voucher-cert: %w", err)
	}
	return nil
}
