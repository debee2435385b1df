package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	masastore "github.com/briskest/briskest/masa/store"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

type trailCmd struct {
	Verify      trailVerifyCmd      `cmd:"" help:"Recompute the trail from its rows, and check every record and certificate against it."`
	Witness     trailWitnessCmd     `cmd:"" help:"Write the signed head into a file, for another party to keep: it shows later that nothing was removed."`
	Prove       trailProveCmd       `cmd:"" help:"Write the proof that an entry is in the trail."`
	Consistency trailConsistencyCmd `cmd:"" help:"Write the proof that the trail begins with what a witness saw."`
	Check       trailCheckCmd       `cmd:"" help:"Check a proof with nothing but the trail's public key."`
	Key         trailKeyCmd         `cmd:"" help:"Print the trail's public key, for those who check proofs."`
	Export      trailExportCmd      `cmd:"" help:"Write the entries as JSON lines, from where the last export ended."`
}

// trailOf names a trail.
type trailOf struct {
	Config string `required:"" type:"existingfile" help:"registrar.yaml, or with --masa a masa.yaml."`
	MASA   bool   `name:"masa" help:"The configuration is a MASA's."`
}

// openedTrail is where a trail is and whose.
type openedTrail struct {
	source    *source
	path      string // of the database
	origin    string
	key       crypto.PublicKey
	registrar *registrarConfig // nil for a MASA's
}

// open reads the configuration. Nothing of the database is read yet.
func (t *trailOf) open(ctx context.Context) (*openedTrail, error) {
	o := &openedTrail{origin: registrarstore.Origin}
	var uri, store string
	if t.MASA {
		cfg, err := loadMASAConfig(t.Config)
		if err != nil {
			return nil, err
		}
		o.origin, o.source, uri, store = masastore.Origin, &cfg.source, cfg.TrailKey, cfg.Store
	} else {
		cfg, err := loadRegistrarConfig(t.Config)
		if err != nil {
			return nil, err
		}
		o.registrar, o.source, uri, store = cfg, &cfg.source, cfg.TrailKey, cfg.Store
	}
	key, err := keystore.Open(ctx, o.source.uri(uri))
	if err != nil {
		return nil, o.source.wrong(err)
	}
	o.path, o.key = o.source.path(store), key.Public()
	return o, nil
}

// witness reads a head that was kept elsewhere.
func (o *openedTrail) witness(file string) (*trail.Head, error) {
	data, err := readSmall(file, maxProofFile)
	if err != nil {
		return nil, err
	}
	h, err := trail.OpenNote(data, o.origin, o.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

type trailVerifyCmd struct {
	trailOf
	Witness      []string `type:"existingfile" sep:"none" placeholder:"FILE" help:"A head that trail witness wrote: it has to be in the trail still. May be given more than once."`
	Certificates []string `type:"existingfile" sep:"none" placeholder:"PEM" help:"Certificates that somebody has, and that this CA is said to have signed: each has to be on record, the registrar's or its CA folder's. May be given more than once."`
	output
}

type trailRow struct {
	Entries      int64  `json:"entries"`
	Head         string `json:"head"`
	Heads        int64  `json:"signed_heads"`
	Rows         int64  `json:"rows"`
	Certificates int64  `json:"certificates"` // that were signed, each listed
	Abandoned    int64  `json:"abandoned_intents"`
	Open         int64  `json:"open_intents"`
	Witnesses    int    `json:"witnesses"`
	CALines      int64  `json:"ca_record_lines"` // of the CA folders' own records
}

// Run verifies the trail of a running or stopped server.
func (c *trailVerifyCmd) Run(ctx context.Context, s streams) error {
	row, err := c.verify(ctx)
	if errors.Is(err, sqlitedb.ErrTrail) {
		return cli.Hint(err, "keep the database file as it is, compare it with a backup, and find out who had access to it")
	}
	if err != nil {
		return err
	}
	if c.Format != cli.Table {
		return cli.PrintOne(s.Out, c.Format, row)
	}
	s.Printf("%d entries, head %s\n", row.Entries, row.Head)
	if !c.MASA {
		s.Printf("%d certificates were signed, and each is listed; %d intents were abandoned, %d are open; %d lines of CA folders' records\n",
			row.Certificates, row.Abandoned, row.Open, row.CALines)
	}
	if row.Witnesses == 0 {
		s.Printf("no witness was asked: whoever put an older copy of the whole database back would not be noticed (--witness, briskest trail witness)\n")
	} else {
		s.Printf("%d heads that were kept elsewhere are in it\n", row.Witnesses)
	}
	return nil
}

func (c *trailVerifyCmd) verify(ctx context.Context) (*trailRow, error) {
	o, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	var witnesses []*trail.Head
	for _, file := range c.Witness {
		h, err := o.witness(file)
		if err != nil {
			return nil, err
		}
		witnesses = append(witnesses, h)
	}
	if c.MASA {
		if len(c.Certificates) > 0 {
			return nil, cli.Usage("--certificates is about what a registrar's CA signed; of IDevIDs ask briskest masa device list")
		}
		return o.verifyMASA(ctx, witnesses)
	}
	certs, err := certificatesOf(c.Certificates)
	if err != nil {
		return nil, err
	}
	records := newCARecords(o.registrar)
	report, listed, err := registrarstore.VerifyWith(ctx, &registrarstore.VerifyOptions{
		Path: o.path, Key: o.key, Witnesses: witnesses, Certificates: certs, Entry: records.entry,
	})
	if err != nil {
		return nil, err
	}
	lines, err := records.verify()
	if err != nil {
		return nil, err
	}
	for _, raw := range listed.Missing {
		if !records.tellsOf(raw) {
			return nil, fmt.Errorf("%w: a certificate that was signed, or is said to have been, is not on record (SHA-256 %x)", sqlitedb.ErrTrail, sha256.Sum256(raw))
		}
	}
	row := trailRowOf(report, len(witnesses))
	row.Certificates, row.Abandoned, row.Open, row.CALines = listed.Certificates, listed.Abandoned, listed.Open, lines
	return row, nil
}

func (o *openedTrail) verifyMASA(ctx context.Context, witnesses []*trail.Head) (*trailRow, error) {
	report, err := masastore.VerifyWith(ctx, o.path, o.key, witnesses)
	if err != nil {
		return nil, err
	}
	return trailRowOf(report, len(witnesses)), nil
}

func trailRowOf(report *sqlitedb.Report, witnesses int) *trailRow {
	return &trailRow{
		Entries: report.Entries, Head: hex.EncodeToString(report.Head[:]), Heads: report.Heads, Rows: report.Rows, Witnesses: witnesses,
	}
}

func certificatesOf(files []string) ([][]byte, error) {
	var out [][]byte
	for _, file := range files {
		certs, err := pemfile.Certificates(file)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			out = append(out, cert.Raw)
		}
	}
	return out, nil
}

type trailKeyCmd struct {
	trailOf
}

// Run prints the public key as PEM.
func (c *trailKeyCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(o.key)
	if err != nil {
		return err
	}
	return pem.Encode(s.Out, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// readTrailKey reads what trail key printed.
func readTrailKey(file string) (crypto.PublicKey, error) {
	data, err := readSmall(file, 1<<16)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, cli.Usage("%s is no PEM file with a PUBLIC KEY, as briskest trail key prints it", file)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// readSmall reads a file of at most that many bytes.
func readSmall(file string, limit int64) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, fmt.Errorf("%s is no regular file of up to %d bytes", file, limit)
	}
	return os.ReadFile(file)
}
