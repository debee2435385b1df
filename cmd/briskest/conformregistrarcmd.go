package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type conformRegistrarCmd struct {
	URL         string `placeholder:"URL" help:"The registrar, as https://HOST[:PORT], with or without /.well-known/brski."`
	IDevID      string `name:"idevid" type:"existingfile" help:"PEM file of the IDevID of a device that may join, and its chain. Its MASA URL leads to --masa-listen."`
	IDevIDKey   string `name:"idevid-key" help:"Key of --idevid: a file, or a keystore URI."`
	IDevIDCA    string `name:"idevid-ca" type:"existingfile" help:"PEM file of the CA that issued --idevid, to make further devices that may join; checks that need one are skipped without it."`
	IDevIDCAKey string `name:"idevid-ca-key" help:"Key of --idevid-ca."`
	MASAListen  string `name:"masa-listen" placeholder:"ADDR" help:"Where to be the MASA behind the registrar: the address that the MASA URL of --idevid leads to."`
	MASACert    string `name:"masa-cert" type:"existingfile" help:"PEM file of the MASA's server certificate, which the registrar trusts, and its chain."`
	MASAKey     string `name:"masa-key" help:"Key of --masa-cert."`
	VoucherCert string `name:"voucher-cert" type:"existingfile" help:"PEM file of the certificate that signs vouchers, which the registrar trusts for the manufacturer; --masa-cert without it."`
	VoucherKey  string `name:"voucher-key" help:"Key of --voucher-cert."`
	Cloud       bool   `help:"The registrar is a cloud registrar, and --idevid a device that it knows the owner of: asks what is asked of these, and nothing else."`
	conformFlags
}

// Run asks the registrar and prints the report.
func (c *conformRegistrarCmd) Run(ctx context.Context, s streams) error {
	url := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), brski.PathPrefix), "/")
	stop := func() error { return nil }
	defer func() { _ = stop() }() // the report is what counts
	checks := brskiregistrar.Checks()
	if c.Cloud {
		checks = brskiregistrar.CloudChecks()
	}
	return conform(ctx, s, &c.conformFlags, checks, url, func() (*brskiregistrar.Target, func(context.Context) error, error) {
		t, err := c.target(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		l, err := net.Listen("tcp", c.MASAListen)
		if err != nil {
			return nil, nil, cli.Usage("--masa-listen: %w", err)
		}
		stop = t.MASA.Serve(l)
		return t, t.Reachable, nil
	})
}

func (c *conformRegistrarCmd) target(ctx context.Context, url string) (*brskiregistrar.Target, error) {
	t := &brskiregistrar.Target{Site: wire.Site{URL: url}, MASA: new(brskiregistrar.MASA)}
	for _, f := range []struct{ name, value string }{
		{"--url", c.URL}, {"--idevid", c.IDevID}, {"--idevid-key", c.IDevIDKey}, {"--masa-listen", c.MASAListen}, {"--masa-cert", c.MASACert}, {"--masa-key", c.MASAKey},
	} {
		if f.value == "" {
			return nil, required(f.name)
		}
	}
	if err := t.Check(); err != nil {
		return nil, cli.Usage("%w", err)
	}
	if c.VoucherCert == "" {
		c.VoucherCert, c.VoucherKey = c.MASACert, c.MASAKey
	}
	for _, id := range []struct {
		name, cert, key string
		to              **tls.Certificate
	}{
		{"idevid", c.IDevID, c.IDevIDKey, &t.Pledge},
		{"idevid-ca", c.IDevIDCA, c.IDevIDCAKey, &t.Manufacturer},
		{"masa-cert", c.MASACert, c.MASAKey, &t.MASA.Certificate},
		{"voucher-cert", c.VoucherCert, c.VoucherKey, &t.MASA.Signer},
	} {
		if id.cert == "" && id.key == "" {
			continue
		}
		if id.cert == "" || id.key == "" {
			return nil, cli.Usage("--%s and its key go together", id.name)
		}
		identity, err := pemfile.Identity(ctx, id.cert, keyURI(id.key))
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", id.name, err)
		}
		*id.to = identity
	}
	return t, nil
}
