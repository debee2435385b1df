package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/sqlitedb"
	masastore "github.com/briskest/briskest/masa/store"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

type trailCmd struct {
	Verify trailVerifyCmd `cmd:"" help:"Recompute the trail from its rows, and check every record against it."`
}

type trailVerifyCmd struct {
	Config string `required:"" type:"existingfile" help:"registrar.yaml, or with --masa a masa.yaml."`
	MASA   bool   `name:"masa" help:"The configuration is a MASA's."`
	output
}

type trailRow struct {
	Entries int64  `json:"entries"`
	Head    string `json:"head"`
	Heads   int64  `json:"signed_heads"`
	Rows    int64  `json:"rows"`
}

// Run verifies the trail of a running or stopped server.
func (c *trailVerifyCmd) Run(ctx context.Context, s streams) error {
	report, err := c.verify(ctx)
	if errors.Is(err, sqlitedb.ErrTrail) {
		return cli.Hint(err, "keep the database file as it is, compare it with a backup, and find out who had access to it")
	}
	if err != nil {
		return err
	}
	row := trailRow{Entries: report.Entries, Head: hex.EncodeToString(report.Head[:]), Heads: report.Heads, Rows: report.Rows}
	if c.Format == cli.Table {
		_, err := fmt.Fprintf(s.Out, "%d entries, head %s\n", row.Entries, row.Head)
		return err
	}
	return cli.PrintOne(s.Out, c.Format, row)
}

func (c *trailVerifyCmd) verify(ctx context.Context) (*sqlitedb.Report, error) {
	if c.MASA {
		cfg, err := loadMASAConfig(c.Config)
		if err != nil {
			return nil, err
		}
		return cfg.verifyTrail(ctx, cfg.Store, cfg.TrailKey, masastore.Verify)
	}
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return nil, err
	}
	return cfg.verifyTrail(ctx, cfg.Store, cfg.TrailKey, registrarstore.Verify)
}

// verifyTrail verifies a store with the public half of its trail key.
func (s *source) verifyTrail(ctx context.Context, store, trailKey string, verify func(context.Context, string, crypto.PublicKey) (*sqlitedb.Report, error)) (*sqlitedb.Report, error) {
	key, err := keystore.Open(ctx, s.uri(trailKey))
	if err != nil {
		return nil, s.wrong(err)
	}
	return verify(ctx, s.path(store), key.Public())
}
