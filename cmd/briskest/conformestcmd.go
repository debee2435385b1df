package main

import (
	"context"
	"strings"

	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type conformESTCmd struct {
	URL          string `placeholder:"URL" help:"The server, as https://HOST[:PORT], with or without /.well-known/est."`
	Label        string `help:"The CA label, for servers with several."`
	PendingLabel string `placeholder:"LABEL" help:"A label where requests wait for approval, for the checks of that."`
	CA           string `name:"ca" type:"existingfile" help:"PEM file of anchors for the server's certificate; the system's without it."`
	User         string `help:"HTTP user, with --password-file."`
	PasswordFile string `type:"existingfile" help:"File whose first line is the password."`
	UserFile     string `type:"existingfile" help:"File whose first line is user:password, such as est-user.txt."`
	Cert         string `type:"existingfile" help:"PEM file of a client certificate and its chain: to enroll with where there is no user; where it has id-kp-cmcRA, for the checks of registration authorities."`
	Key          string `help:"Key of --cert: a file, or a keystore URI."`
	Subject      string `default:"conformance" help:"The common name that enrollments ask for."`
	conformFlags
}

// Run asks the server and prints the report.
func (c *conformESTCmd) Run(ctx context.Context, s streams) error {
	url := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), est.PathPrefix), "/")
	return conform(ctx, s, &c.conformFlags, estserver.Checks(), url, func() (*estserver.Target, func(context.Context) error, error) {
		t, err := c.target(ctx, s, url)
		if err != nil {
			return nil, nil, err
		}
		return t, t.Reachable, nil
	})
}

func (c *conformESTCmd) target(ctx context.Context, s streams, url string) (*estserver.Target, error) {
	t := &estserver.Target{Site: wire.Site{URL: url}, Label: c.Label, Pending: c.PendingLabel}
	t.Subject.CommonName = c.Subject
	if c.URL == "" {
		return nil, required("--url")
	}
	if err := t.Check(); err != nil {
		return nil, cli.Usage("%w", err)
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, cli.Usage("--cert and --key go together")
	}
	var err error
	if c.CA != "" {
		if t.Roots, err = pemfile.Pool(c.CA); err != nil {
			return nil, err
		}
	}
	if c.Cert != "" {
		if t.Certificate, err = pemfile.Identity(ctx, c.Cert, keyURI(c.Key)); err != nil {
			return nil, err
		}
	}
	return t, c.password(s, t)
}

// password reads the HTTP credentials.
func (c *conformESTCmd) password(s streams, t *estserver.Target) error {
	var client est.Client
	peer := estPeer{User: c.User, PasswordFile: c.PasswordFile, UserFile: c.UserFile}
	err := peer.secrets(s, &client)
	t.User, t.Password = client.User, client.Password
	return err
}
