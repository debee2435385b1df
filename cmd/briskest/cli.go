package main

import (
	"context"

	"github.com/briskest/briskest/cmd/internal/commandline"
	"github.com/briskest/briskest/internal/cli"
)

// commands is the whole command line.
type commands struct {
	Quickstart quickstartCmd `cmd:"" help:"A vendor, a registrar and a simulated device on this machine, end to end."`
	Init       initCmd       `cmd:"" help:"Make a configuration, keys and a CA for a registrar or a MASA."`
	Registrar  registrarCmd  `cmd:"" help:"Run the registrar, or renew its own certificate."`
	MASA       masaCmd       `cmd:"" name:"masa" help:"Run the MASA, or operate it: devices, IDevIDs, owners, claims, blocks."`
	JoinProxy  joinProxyCmd  `cmd:"" help:"Let devices on a link reach the registrar, which they cannot by themselves."`
	Device     deviceCmd     `cmd:"" help:"The registrar's devices: import, list, show, why, evidence."`
	Domain     domainCmd     `cmd:"" help:"The registrar's domains, its tenants: show."`
	Quarantine quarantineCmd `cmd:"" help:"Devices that are barred by what they have in common: place, list, lift."`
	Request    requestCmd    `cmd:"" help:"Requests that wait for a decision: list, approve, deny."`
	Group      groupCmd      `cmd:"" help:"Groups of devices: plan, apply, list, show, explain, assign, rollback."`
	Baseline   baselineCmd   `cmd:"" help:"What devices are configured with: apply, show, list, rollback, status."`
	Credential credentialCmd `cmd:"" help:"HTTP credentials and one-time codes for devices without a certificate."`
	CA         caCmd         `cmd:"" name:"ca" help:"The CA: init, csr, certify, install, renew, rollover, status; and its certificates: list, revoke, crl."`
	Voucher    voucherCmd    `cmd:"" help:"Vouchers: look into them; ask for them ahead of their devices, and carry them."`
	Report     reportCmd     `cmd:"" help:"Reports made from the configuration and the records: expiring, never-seen, silent, nist."`
	Doctor     doctorCmd     `cmd:"" help:"Grade a deployment: files, certificates, keys, settings, servers, machine; and say what to do."`
	EST        estCmd        `cmd:"" name:"est" help:"An EST client: cacerts, enroll, reenroll, serverkeygen, fullcmc and the rest."`
	Event      eventCmd      `cmd:"" help:"What other systems are told: list, targets, replay, dead letters, schemas."`
	Token      tokenCmd      `cmd:"" help:"Tokens for the registrar's API: create, list, revoke."`
	API        apiCmd        `cmd:"" name:"api" help:"The registrar's API for operators: its OpenAPI document."`
	Trail      trailCmd      `cmd:"" help:"The record of every decision: verify, witness, prove, consistency, check, key, export."`
	Evidence   evidenceCmd   `cmd:"" help:"Archives of device evidence: verify, without a server."`
	Backup     backupCmd     `cmd:"" help:"Back up a registrar or a MASA, while it runs."`
	Restore    restoreCmd    `cmd:"" help:"Check a backup, and restore it into an empty place."`
	Bench      benchCmd      `cmd:"" help:"Measure EST and BRSKI beside a bare floor."`
	Conform    conformCmd    `cmd:"" help:"The conformance suite: ask an EST server what the RFCs ask of it, and report requirement by requirement."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// streams and output are shared with the other program.
type (
	streams = commandline.Streams
	output  = commandline.Output
)

// run parses args, runs the command they name and returns its error. The exit
// codes are in the package cli.
func run(ctx context.Context, args []string, s streams) error {
	return commandline.Run(ctx, "briskest", "Device provisioning on open standards: EST (RFC 7030) and BRSKI (RFC 8995).", &commands{}, args, s)
}

// required is an error naming a flag that the command cannot do without.
func required(flag string) error {
	return cli.Usage("the flag %s is missing", flag)
}
