package main

import (
	"context"
	"encoding/hex"
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
	if err != nil {
		return cli.Hint(err, "keep the database file as it is, compare it with a backup, and find out who had access to it")
	}
	row := trailRow{Entries: report.Entries, Head: hex.EncodeToString(report.Head[:]), Heads: report.Heads, Rows: report.Rows}
	if c.Output == cli.Table {
		_, err := fmt.Fprintf(s.out, "%d entries, head %s\n", row.Entries, row.Head)
		return err
	}
	return cli.PrintOne(s.out, c.Output, row)
}

func (c *trailVerifyCmd) verify(ctx context.Context) (*sqlitedb.Report, error) {
	if c.MASA {
		cfg, err := loadMASAConfig(c.Config)
		if err != nil {
			return nil, err
		}
		key, err := keystore.Open(ctx, cfg.uri(cfg.TrailKey))
		if err != nil {
			return nil, err
		}
		return masastore.Verify(ctx, cfg.path(cfg.Store), key.Public())
	}
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, cfg.uri(cfg.TrailKey))
	if err != nil {
		return nil, err
	}
	return registrarstore.Verify(ctx, cfg.path(cfg.Store), key.Public())
}
