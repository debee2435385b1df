package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/briskest/briskest/internal/cli"
)

// commands is the whole command line.
type commands struct {
	Quickstart quickstartCmd `cmd:"" help:"A vendor, a registrar and a simulated device on this machine, end to end."`
	Init       initCmd       `cmd:"" help:"Make a configuration, keys and a CA for a registrar or a MASA."`
	Registrar  registrarCmd  `cmd:"" help:"Run the registrar."`
	MASA       masaCmd       `cmd:"" name:"masa" help:"Run the MASA, or operate it: device import, owner add, block."`
	Device     deviceCmd     `cmd:"" help:"The registrar's devices: import, list, show, why."`
	Request    requestCmd    `cmd:"" help:"Requests that wait for a decision: list, approve, deny."`
	Credential credentialCmd `cmd:"" help:"HTTP credentials for devices without a certificate."`
	CA         caCmd         `cmd:"" name:"ca" help:"The registrar's certificates: list, revoke, crl."`
	Voucher    voucherCmd    `cmd:"" help:"Look into vouchers and voucher-requests."`
	EST        estCmd        `cmd:"" name:"est" help:"An EST client: cacerts, csrattrs, enroll, reenroll."`
	Trail      trailCmd      `cmd:"" help:"The record of every decision: verify."`
	Bench      benchCmd      `cmd:"" help:"Measure enrollment beside a bare floor."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// streams are where a command reads and prints.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// output is the -o flag of commands that print a record or a list.
type output struct {
	Output string `short:"o" enum:"table,json,csv" default:"table" help:"How to print: table, json (lines for lists) or csv."`
}

// exitEarly carries kong's wish to exit after printing help.
type exitEarly int

// run parses args, runs the command they name and returns its error. The exit
// codes are in the package cli.
func run(ctx context.Context, args []string, s streams) (err error) {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("briskest"),
		kong.Description("Device provisioning on open standards: EST (RFC 7030) and BRSKI (RFC 8995).\n\nExit codes: 0 done, 1 failed, 2 usage, 3 refused by the peer, 4 pending, 5 not found."),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(exitEarly(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		return err
	}
	defer func() {
		if code, ok := recover().(exitEarly); ok {
			err = nil
			if code != 0 {
				err = &cli.Error{Code: int(code), Err: errors.New("stopped")}
			}
		}
	}()
	parsed, err := parser.Parse(args)
	if err != nil {
		return cli.Hint(cli.Usage("%w", err), "briskest --help lists the commands, briskest COMMAND --help its flags")
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(s)
}

// required is an error naming a flag that the command cannot do without.
func required(flag string) error {
	return cli.Usage("the flag %s is missing", flag)
}

func (s streams) printf(format string, args ...any) {
	fmt.Fprintf(s.out, format, args...)
}
