package main

import (
	"context"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token; it is shown this once."`
	List   tokenListCmd   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token's use at once."`
}

type tokenCreateCmd struct {
	registrarData
	Name    string        `arg:"" help:"What the trail calls whoever uses it."`
	Role    string        `required:"" enum:"viewer,operator,auditor,administrator" help:"viewer, operator, auditor or administrator, in this domain."`
	Expires time.Duration `default:"2160h" help:"How long it is good, at most a year."`
	output
}

// Run makes a token. The secret alone goes to the standard output where no format is asked for, to be put into a file.
func (c *tokenCreateCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		made, err := client.CreateToken(ctx, registraradmin.CreateToken{Name: c.Name, Role: c.Role, Seconds: int64(c.Expires / time.Second)})
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, made)
		}
		s.Printf("%s\n", made.Secret)
		return nil
	})
}

type tokenListCmd struct {
	registrarData
	output
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		var rows []registraradmin.Token
		for t, err := range client.Tokens(ctx) {
			if err != nil {
				return err
			}
			rows = append(rows, t)
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type tokenRevokeCmd struct {
	registrarData
	ID string `arg:"" help:"ID of the token."`
	output
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		t, err := client.RevokeToken(ctx, c.ID)
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, t)
	})
}
