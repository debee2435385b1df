package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/evidence"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

// archive writes everything that led to the device's present state into a file.
// It reads the database beside the server, and signs with the trail's key.
func (c *deviceEvidenceCmd) archive(ctx context.Context, s streams, file string) error {
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return err
	}
	key, err := keystore.Open(ctx, cfg.uri(cfg.TrailKey))
	if err != nil {
		return cfg.wrong(err)
	}
	domain := cfg.Domain
	if domain == "" {
		domain = registrar.DefaultDomain
	}
	found, err := registrarstore.Extract(ctx, cfg.path(cfg.Store), key.Public(), domain, c.Device)
	if errors.Is(err, sqlitedb.ErrTrail) {
		return cli.Hint(err, "briskest trail verify --config %s says more; no evidence is made of a trail that does not hold", c.Config)
	}
	if err != nil {
		return registrarFailure(err)
	}
	cas, err := cfg.deviceCAs()
	if err != nil {
		return err
	}
	d := &found.Device
	content := &evidence.Content{
		Subject: evidence.Subject{Domain: d.Domain, ID: d.ID, Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber, State: string(d.State)},
		Extract: found.Extract, Origin: registrarstore.Origin, MadeAt: time.Now(), MadeBy: actor(), Program: "briskest", CAs: cas,
	}
	var out bytes.Buffer
	if err := evidence.Write(&out, content, registrarstore.Columns, key); err != nil {
		return err
	}
	if err := pemfile.Write(file, out.Bytes(), 0o600); err != nil {
		return err
	}
	s.Printf("%s: %d entries and %d records of %s, up to head %d of the trail\n", file, len(found.Entries), len(found.Records), d.SerialNumber, found.Head.Number)
	return nil
}

// deviceCAs are the certificates of the CAs that sign here.
func (c *registrarConfig) deviceCAs() (out [][]byte, err error) {
	for i := range c.Issuers {
		local := c.Issuers[i].Local
		if local == nil {
			continue
		}
		files := []string{c.path(local.Certificate)}
		if local.Folder != "" {
			f, err := openCAFolder(c.path(local.Folder))
			if err != nil {
				return nil, err
			}
			files = []string{f.source.path(f.Certificate)}
			for _, p := range f.Previous {
				files = append(files, f.source.path(p.Certificate))
			}
		}
		for _, file := range files {
			certs, err := pemfile.Certificates(file)
			if err != nil {
				return nil, err
			}
			for _, cert := range certs {
				out = append(out, cert.Raw)
			}
		}
	}
	return out[:min(len(out), 99)], nil
}

type evidenceCmd struct {
	Verify evidenceVerifyCmd `cmd:"" help:"Check an archive of device evidence, and say what it proves and what it does not. Needs no server."`
}

type evidenceVerifyCmd struct {
	File    string `arg:"" type:"existingfile" help:"What device evidence -o FILE wrote."`
	Key     string `type:"existingfile" placeholder:"PEM" help:"The trail's public key, as briskest trail key prints it; have it from where you trust."`
	Witness string `type:"existingfile" placeholder:"FILE" help:"The head of the trail that somebody kept, as trail witness writes it: it has to be the archive's. Needs --key."`
	output
}

// evidenceRow is what a verification prints.
type evidenceRow struct {
	Device    evidence.Subject `json:"device"`
	Head      int64            `json:"head"`
	Size      int64            `json:"entries_in_trail"`
	Key       string           `json:"trail_key_sha256"`
	KeyGiven  bool             `json:"key_given"`
	MadeAt    time.Time        `json:"made_at"`
	MadeBy    string           `json:"made_by"`
	Entries   int              `json:"entries"`
	Records   int              `json:"records"`
	Artifacts int              `json:"artifacts"`
	Notes     []string         `json:"notes"`
	Omitted   []string         `json:"omitted"`
	Proves    []string         `json:"proves"`
	DoesNot   []string         `json:"does_not_prove"`
}

// Run verifies an archive.
func (c *evidenceVerifyCmd) Run(_ context.Context, s streams) error {
	opts := &evidence.VerifyOptions{Columns: registrarstore.Columns, Open: describeArtifact}
	if c.Key != "" {
		key, err := readTrailKey(c.Key)
		if err != nil {
			return err
		}
		opts.Key = key
	}
	if c.Witness != "" {
		if opts.Key == nil {
			return cli.Usage("--witness needs --key: without it anybody can have signed the head")
		}
		data, err := readSmall(c.Witness, maxProofFile)
		if err != nil {
			return err
		}
		if opts.Witness, err = trail.OpenNote(data, registrarstore.Origin, opts.Key); err != nil {
			return fmt.Errorf("%s: %w", c.Witness, err)
		}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r, err := evidence.Verify(f, opts)
	if err != nil {
		return cli.Hint(fmt.Errorf("%s: %w", c.File, err), "ask whoever made it for another copy; briskest device evidence makes one anew")
	}
	if c.Format != cli.Table {
		return cli.PrintOne(s.Out, c.Format, evidenceRow{
			r.Subject, r.Head.Number, r.Head.Size, r.Fingerprint, r.KeyGiven, r.MadeAt, r.MadeBy, r.Entries, r.Records, r.Artifacts,
			r.Notes, r.Omitted, evidence.Proves(), evidence.DoesNot(),
		})
	}
	printEvidence(s.Out, r)
	return nil
}

func printEvidence(w io.Writer, r *evidence.Report) {
	fmt.Fprintf(w, "%s is whole: %s is %s, %d entries and %d records, %d artifacts, up to head %d of %d entries, made %s by %s\n",
		"the archive", r.Subject.SerialNumber, r.Subject.State, r.Entries, r.Records, r.Artifacts, r.Head.Number, r.Head.Size, r.MadeAt.Format(time.RFC3339), r.MadeBy)
	if !r.KeyGiven {
		fmt.Fprintf(w, "\nsigned with the key that is in it, SHA-256 %s: compare that with the trail's, or give it with --key\n", r.Fingerprint)
	}
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"in it", r.Notes}, {"left out", r.Omitted}, {"this proves", evidence.Proves()}, {"this does not prove", evidence.DoesNot()},
	} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", part.title)
		for _, line := range part.lines {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// describeArtifact tells what is in a voucher or voucher-request. Its signature is
// good then; who signed is told, and trusted by nobody yet.
func describeArtifact(data []byte) (string, error) {
	var first error
	for _, format := range voucherformat.All() {
		if v, a, err := format.OpenVoucher(data); err == nil {
			return fmt.Sprintf("voucher for %s, %s, signed by %s, pins %s", v.SerialNumber, v.Assertion, subjectOf(a.Signer), pinnedName(v.PinnedDomainCert)), nil
		} else if first == nil {
			first = err
		}
		if r, a, err := format.OpenRequest(data); err == nil {
			return fmt.Sprintf("voucher-request for %s, nonce %q, signed by %s", r.SerialNumber, r.Nonce, subjectOf(a.Signer)), nil
		}
	}
	return "", first
}

// subjectOf names who signed; nil for a certificate that did not travel along.
func subjectOf(cert *x509.Certificate) string {
	if cert == nil {
		return "a key without a certificate"
	}
	return cert.Subject.String()
}
