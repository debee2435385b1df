package main

import (
	"context"
	"errors"
	"net"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/registrar"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type registrarCmd struct {
	Serve registrarServeCmd `cmd:"" default:"withargs" hidden:"" help:"Run the registrar."`
	Drain registrarDrainCmd `cmd:"" help:"Have the running server get no more requests, then end."`
	Renew registrarRenewCmd `cmd:"" help:"Make the registrar's own certificate anew, for the same key and names: one that has ended too."`
}

// Help says how the server is run, which is the command without a subcommand.
func (registrarCmd) Help() string {
	return "briskest registrar --config registrar.yaml runs the server. With --check it loads the configuration and all it names, says what is wrong, and exits."
}

type registrarServeCmd struct {
	Config string `required:"" type:"existingfile" help:"registrar.yaml."`
	Check  bool   `help:"Load the configuration and all it names, say what is wrong with it, and exit."`
}

// Run serves until it is told to stop. SIGHUP loads the configuration again.
func (c *registrarServeCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Check {
		_, _, err := cfg.build(ctx)
		return err
	}
	service, _, err := startRegistrar(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	return service.serve(ctx)
}

// registrarData names whose data a command works on.
type registrarData struct {
	Config string `type:"existingfile" xor:"where" required:"" help:"registrar.yaml; its server is asked when it runs, else its store is opened."`
	Server string `xor:"where" required:"" help:"The API of a registrar elsewhere, https://HOST[:PORT]; with --token-file or --client-cert and --client-key."`

	Domain        string `help:"The domain, with --server or where the registrar has several; default the configuration's."`
	TokenFile     string `type:"existingfile" help:"File with a token, for --server."`
	ClientCert    string `type:"existingfile" help:"Certificate chain to show, PEM, for --server."`
	ClientKey     string `help:"Keystore URI of its key."`
	ServerAnchors string `type:"existingfile" help:"PEM file of the CAs that the server's certificate chains to; default the system's."`
}

// operate calls do with a client of the running registrar, or of one opened
// for the purpose.
func (d *registrarData) operate(ctx context.Context, s streams, do func(*registraradmin.Client) error) error {
	if d.Server != "" {
		client, err := d.remote(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		return registrarFailure(do(client))
	}
	cfg, err := loadRegistrarConfig(d.Config)
	if err != nil {
		return err
	}
	socket := cfg.path(cfg.Listen.Admin)
	if answers(ctx, socket) {
		client := socketAPI(socket)
		defer client.Close()
		client.Domain = d.domain(cfg.Domain)
		return registrarFailure(do(client))
	}
	cfg.Log.Level = "error"
	role, err := openRegistrar(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	client := role.inProcess()
	client.Domain = d.domain(cfg.Domain)
	return errors.Join(registrarFailure(do(client)), role.close())
}

// socketAPI is a client of the registrar behind a socket.
func socketAPI(socket string) *registraradmin.Client {
	return registraradmin.NewClient(func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, socket) })
}

// registrarFailure gives the registrar's sentinels their exit codes.
func registrarFailure(err error) error {
	switch {
	case errors.Is(err, registrar.ErrNotFound):
		return &cli.Error{Code: cli.ExitNotFound, Err: err, Hint: "briskest device list, request list and ca list show what is on record"}
	case errors.Is(err, registrar.ErrInvalid):
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	default:
		return err
	}
}
