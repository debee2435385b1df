package main

import (
	"context"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type credentialCmd struct {
	Add     credentialAddCmd     `cmd:"" help:"Add a credential and print its secret, this once."`
	List    credentialListCmd    `cmd:"" help:"List credentials, without secrets."`
	Disable credentialDisableCmd `cmd:"" help:"End a credential's use."`

	Code       codeAddCmd    `cmd:"" help:"Make a one-time enrollment code for a serial number and print it, this once."`
	Codes      codeListCmd   `cmd:"" help:"List enrollment codes, without what they are."`
	RevokeCode codeRevokeCmd `cmd:"" help:"End the use of a serial number's enrollment code."`
}

type credentialAddCmd struct {
	registrarData
	User         string `arg:"" help:"User name; without --group also the name it may enroll."`
	Group        bool   `help:"It may enroll any name its label's profile allows."`
	PasswordFile string `help:"File whose first line is the password of a person; default 128 generated random bits. - for standard input."`
	Replace      bool   `help:"Replace the credential of a user that exists."`
	output
}

// Run adds a credential.
func (c *credentialAddCmd) Run(ctx context.Context, s streams) error {
	in := registraradmin.AddCredential{User: c.User, Group: c.Group, Replace: c.Replace}
	if c.PasswordFile != "" {
		password, err := firstLine(s, c.PasswordFile)
		if err != nil {
			return err
		}
		if in.Password = password; password == "" {
			return cli.Usage("%s: its first line is empty", c.PasswordFile)
		}
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		added, err := client.AddCredential(ctx, in)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, added)
	})
}

type credentialListCmd struct {
	registrarData
	output
}

// Run lists credentials.
func (c *credentialListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		rows, err := client.Credentials(ctx)
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type credentialDisableCmd struct {
	registrarData
	User string `arg:"" help:"User name."`
}

// Run disables a credential.
func (c *credentialDisableCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		return client.DisableCredential(ctx, c.User)
	})
}
