package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskimasa"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type conformMASACmd struct {
	URL           string `placeholder:"URL" help:"The MASA, as https://HOST[:PORT] and its path; /.well-known/brski without one."`
	CA            string `name:"ca" type:"existingfile" help:"PEM file of the anchors of the MASA's server certificate; the system's without it."`
	Anchor        string `name:"anchor" type:"existingfile" help:"PEM file of the anchors that devices verify vouchers by."`
	RegistrarCert string `name:"registrar-cert" type:"existingfile" help:"PEM file of a registrar's certificate, and of every CA up to the one that its domain is known by."`
	RegistrarKey  string `name:"registrar-key" help:"Key of --registrar-cert: a file, or a keystore URI."`
	DomainCA      string `name:"domain-ca" type:"existingfile" help:"PEM file of the CA that issued --registrar-cert and the CAs above it, to make other registrars of the domain; without it a domain is made up that nobody knows."`
	DomainCAKey   string `name:"domain-ca-key" help:"Key of --domain-ca."`
	Pledge        string `type:"existingfile" help:"PEM file of the IDevID of a device of the MASA's that has no owner, and its chain."`
	PledgeKey     string `name:"pledge-key" help:"Key of --pledge."`
	Nonceless     string `type:"existingfile" help:"IDevID of a device that the registrar gets vouchers without a nonce for. Checks about what is not given are skipped."`
	NoncelessKey  string `name:"nonceless-key" help:"Key of --nonceless."`
	Blocked       string `type:"existingfile" help:"IDevID of a device that the MASA has blocked."`
	BlockedKey    string `name:"blocked-key" help:"Key of --blocked."`
	Foreign       string `type:"existingfile" help:"IDevID of a device that another domain owns."`
	ForeignKey    string `name:"foreign-key" help:"Key of --foreign."`
	Former        string `type:"existingfile" help:"IDevID of a device that the registrar's domain owned once, and owns no more."`
	FormerKey     string `name:"former-key" help:"Key of --former."`
	Twin          string `type:"existingfile" help:"IDevID of a device with the serial number of --pledge, from another CA."`
	TwinKey       string `name:"twin-key" help:"Key of --twin."`
	CRLListen     string `name:"crl-listen" placeholder:"ADDR" help:"Where to serve a revocation list over http that the MASA fetches."`
	conformFlags
}

// Run asks the MASA and prints the report.
func (c *conformMASACmd) Run(ctx context.Context, s streams) error {
	stop := func() error { return nil }
	defer func() { _ = stop() }() // the report is what counts
	return conform(ctx, s, &c.conformFlags, brskimasa.Checks(), c.URL, func() (*brskimasa.Target, func(context.Context) error, error) {
		t, err := c.target(ctx)
		if err != nil {
			return nil, nil, err
		}
		if c.CRLListen != "" {
			if t.Revocation, err = net.Listen("tcp", c.CRLListen); err != nil {
				return nil, nil, cli.Usage("--crl-listen: %w", err)
			}
			stop = t.Revocation.Close
		}
		return t, t.Reachable, nil
	})
}

func (c *conformMASACmd) target(ctx context.Context) (*brskimasa.Target, error) {
	for _, f := range []struct{ name, value string }{
		{"--url", c.URL}, {"--anchor", c.Anchor}, {"--registrar-cert", c.RegistrarCert}, {"--registrar-key", c.RegistrarKey}, {"--pledge", c.Pledge}, {"--pledge-key", c.PledgeKey},
	} {
		if f.value == "" {
			return nil, required(f.name)
		}
	}
	t := new(brskimasa.Target)
	var err error
	if t.Site, t.Path, err = masaSite(c.URL); err != nil {
		return nil, err
	}
	if c.CA != "" {
		if t.Roots, err = pemfile.Pool(c.CA); err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
	}
	if t.Anchors, err = pemfile.Pool(c.Anchor); err != nil {
		return nil, fmt.Errorf("--anchor: %w", err)
	}
	for _, id := range []struct {
		name, cert, key string
		to              **tls.Certificate
	}{
		{"registrar-cert", c.RegistrarCert, c.RegistrarKey, &t.Registrar},
		{"domain-ca", c.DomainCA, c.DomainCAKey, &t.DomainCA},
		{"pledge", c.Pledge, c.PledgeKey, &t.Pledge},
		{"nonceless", c.Nonceless, c.NoncelessKey, &t.Nonceless},
		{"blocked", c.Blocked, c.BlockedKey, &t.Blocked},
		{"foreign", c.Foreign, c.ForeignKey, &t.Foreign},
		{"former", c.Former, c.FormerKey, &t.Former},
		{"twin", c.Twin, c.TwinKey, &t.Twin},
	} {
		if *id.to, err = conformIdentity(ctx, id.name, id.cert, id.key); err != nil {
			return nil, err
		}
	}
	if err := t.Check(); err != nil {
		return nil, cli.Usage("%w", err)
	}
	return t, nil
}

// masaSite takes a MASA URL apart (RFC 8995, Section 2.3.2).
func masaSite(text string) (wire.Site, string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return wire.Site{}, "", cli.Usage("--url: %w", err)
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path == "" {
		path = brski.PathPrefix
	}
	return wire.Site{URL: u.Scheme + "://" + u.Host}, path, nil
}

// conformIdentity reads a certificate with its key; nil where neither is given.
func conformIdentity(ctx context.Context, name, cert, key string) (*tls.Certificate, error) {
	if cert == "" && key == "" {
		return nil, nil //nolint:nilnil // what is optional
	}
	if cert == "" || key == "" {
		return nil, cli.Usage("--%s and its key go together", name)
	}
	identity, err := pemfile.Identity(ctx, cert, keyURI(key))
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", name, err)
	}
	return identity, nil
}
