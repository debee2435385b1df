package main

import (
	"context"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaClaimCmd struct {
	Create masaClaimCreateCmd `cmd:"" help:"Make a code for devices, to be delivered with them or printed on them."`
	Redeem masaClaimRedeemCmd `cmd:"" help:"Make the domain that shows a code the owner of its devices."`
}

type masaClaimCreateCmd struct {
	masaData
	SerialNumbers []string        `arg:"" optional:"" name:"serial-number" help:"Devices."`
	File          string          `help:"Devices, one serial number a line; - for standard input."`
	Product       string          `help:"Product line, where serial numbers are in several."`
	Each          bool            `help:"One code for each device; else one for all, of up to 1000 devices."`
	Resale        bool            `help:"Redeeming ends the ownership on record."`
	Expires       config.Duration `default:"365d" help:"How long the code can be redeemed, such as 90d."`
	output
}

// claimRow is one code.
type claimRow struct {
	SerialNumbers string    `json:"serial_numbers"`
	Code          string    `json:"code"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// Run makes codes and prints them; they cannot be shown again.
func (c *masaClaimCreateCmd) Run(ctx context.Context, s streams) error {
	devices, err := c.devices(s)
	if err != nil {
		return err
	}
	if !c.Each && len(devices) > masa.MaxClaim {
		return cli.Usage("one code is for %d devices at most; give --each for one code for each", masa.MaxClaim)
	}
	var out []claimRow
	err = c.operate(ctx, s, func(op masaadmin.Operator) error {
		return chunks(devices, masa.MaxClaim, func(part []masa.DeviceRef) error {
			codes, err := op.CreateClaims(ctx, &masa.ClaimRequest{
				Devices: part, Each: c.Each, Resale: c.Resale, Lifetime: time.Duration(c.Expires), By: actor(),
			})
			for _, code := range codes {
				out = append(out, claimRow{strings.Join(code.SerialNumbers, " "), code.Code, code.ExpiresAt})
			}
			return err
		})
	})
	// What was made is told even where a later part failed: nobody can ask again.
	if len(out) > 0 {
		if err := cli.PrintList(s.Out, c.Format, out); err != nil {
			return err
		}
	}
	return err
}

func (c *masaClaimCreateCmd) devices(s streams) ([]masa.DeviceRef, error) {
	serials := c.SerialNumbers
	if c.File != "" {
		listed, err := readImport(s, c.File)
		if err != nil {
			return nil, err
		}
		for _, row := range listed {
			serials = append(serials, row.serialNumber)
		}
	}
	if len(serials) == 0 {
		return nil, cli.Usage("name a device, or give --file")
	}
	var out []masa.DeviceRef
	for _, serial := range serials {
		out = append(out, masa.DeviceRef{Product: c.Product, SerialNumber: serial})
	}
	return out, nil
}

type masaClaimRedeemCmd struct {
	masaData
	Code string `arg:"" help:"The code; hyphens and case do not count. - to read it from standard input."`
	domainFlags
	output
}

// Run redeems a code.
func (c *masaClaimRedeemCmd) Run(ctx context.Context, s streams) error {
	domain, err := c.ref()
	if err != nil {
		return err
	}
	code := c.Code
	if code == "-" {
		const limit = 100 // bytes
		text, err := readBounded(s.In, "-", limit)
		if err != nil {
			return err
		}
		code = strings.TrimSpace(string(text))
	}
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		owners, err := op.RedeemClaim(ctx, &masa.Redemption{Code: code, DomainRef: domain, By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, owners)
	})
}
