package main

import (
	"context"
	"strings"

	"github.com/briskest/briskest/internal/cli"
)

type initCmd struct {
	Registrar initRegistrarCmd `cmd:"" help:"A root and an issuing CA, the registrar's certificate, an RA's, and registrar.yaml."`
	MASA      initMASACmd      `cmd:"" name:"masa" help:"A vendor CA, the MASA's certificates, and masa.yaml."`
}

type initRegistrarCmd struct {
	Dir    string   `required:"" help:"Directory; made when it is not there. What is in it stays as it is."`
	Name   string   `default:"Example Operator" help:"The operator, in the CAs' names."`
	Host   []string `required:"" help:"DNS name or address that devices reach the registrar at; may be repeated."`
	Listen string   `default:":8443" help:"Address to listen on for devices."`
	// Revocation is where certificates say that one can ask about them.
	Revocation string `placeholder:"HOST:PORT" help:"Address to serve OCSP, revocation lists and CA certificates at; certificates then name it, and so it has to stay."`
	keysFlag
}

// Run sets up a registrar.
func (c *initRegistrarCmd) Run(ctx context.Context, s streams) error {
	dir := folder(c.Dir)
	if err := dir.useKeys(ctx, s, c.Keys); err != nil {
		return err
	}
	rootKey, err := dir.keyURI("registrar/ca/root.key")
	if err != nil {
		return err
	}
	err = makeRegistrar(ctx, dir, &registrarSetup{
		Name: c.Name, Hosts: c.Host, Listen: c.Listen, Revocation: c.Revocation, PerDevice: 24, PerAddress: 3600,
	})
	if err != nil {
		return err
	}
	s.Printf(`The registrar is set up in %s. Nobody may join yet:
  add manufacturers to  %s
  keep offline          %s (the root's key; the registrar does not need it)
  run                   briskest registrar --config %s
`, c.Dir, dir.path("registrar.yaml"), strings.TrimPrefix(rootKey, "file:"), dir.path("registrar.yaml"))
	return nil
}

type initMASACmd struct {
	Dir     string   `required:"" help:"Directory; made when it is not there. What is in it stays as it is."`
	Name    string   `default:"Example Vendor" help:"The vendor, in the CA's name."`
	Host    []string `required:"" help:"DNS name or address that registrars reach the MASA at; may be repeated."`
	Listen  string   `default:":9443" help:"Address to listen on for registrars."`
	Product string   `required:"" help:"Name of the product line."`
	keysFlag
}

// Run sets up a MASA.
func (c *initMASACmd) Run(ctx context.Context, s streams) error {
	if c.Product == "" {
		return cli.Usage("--product is empty")
	}
	dir := folder(c.Dir)
	if err := dir.useKeys(ctx, s, c.Keys); err != nil {
		return err
	}
	err := makeMASA(ctx, dir, &masaSetup{Name: c.Name, Hosts: c.Host, Listen: c.Listen, Product: c.Product})
	if err != nil {
		return err
	}
	s.Printf(`The MASA is set up in %s. No device is on record yet:
  put into devices   %s (what they trust vouchers with)
  import             briskest masa device import --config %s --product %s FILE
  run                briskest masa --config %s
`, c.Dir, dir.path("masa/anchor.pem"), dir.path("masa.yaml"), c.Product, dir.path("masa.yaml"))
	return nil
}
