package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type deviceEvidenceCmd struct {
	registrarData
	deviceArg
	Out    string `type:"path" placeholder:"DIR" help:"Write each artifact into this folder, as it was received or sent; made when it is not there."`
	Format string `name:"output" short:"o" default:"table" placeholder:"FILE" help:"Write everything into this file, one archive that briskest evidence verify checks: artifacts, decisions, certificates, with proofs that they are in the trail. Or print it: table, json or csv."`
}

// Run prints how a device got its vouchers: each exchange, the audit-log with
// whose entries it has, and telemetry. Or it writes the archive.
func (c *deviceEvidenceCmd) Run(ctx context.Context, s streams) error {
	switch c.Format {
	case cli.Table, cli.JSON, "csv":
	default:
		return c.archive(ctx, s, c.Format)
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		evidence, err := client.Evidence(ctx, c.Device)
		if err != nil {
			return err
		}
		if c.Out != "" {
			if err := saveEvidence(c.Out, evidence); err != nil {
				return err
			}
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, evidence)
		}
		for i := range evidence.Exchanges {
			if err := printExchange(s, &evidence.Exchanges[i]); err != nil {
				return err
			}
		}
		return printReports(s, evidence.Reports)
	})
}

func printExchange(s streams, x *registraradmin.Exchange) error {
	s.Printf("voucher exchange %s of %s: %s %s\n", x.ID, x.At.UTC().Format(time.RFC3339), x.State, x.Reason)
	if x.Assertion != "" {
		s.Printf("  assertion %s, nonce %q, pins %s\n", x.Assertion, x.Nonce, pinnedName(x.Pinned))
	}
	if x.AuditLog == nil {
		s.Printf("  no audit-log\n\n")
		return nil
	}
	s.Printf("  audit-log, %d entries, %d left out by the MASA\n", len(x.Events), x.LeftOut)
	rows := make([]eventRow, len(x.Events))
	for i, e := range x.Events {
		whose := e.Whose
		if e.Name != "" {
			whose += " (" + e.Name + ")"
		}
		rows[i] = eventRow{e.Date, whose, e.OnRecord, e.Nonceless, e.Assertion, e.DomainID}
	}
	if err := cli.PrintList(s.Out, cli.Table, rows); err != nil {
		return err
	}
	s.Printf("\n")
	return nil
}

func pinnedName(der []byte) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "a key"
	}
	return cert.Subject.String()
}

// eventRow is one line about an entry of an audit-log.
type eventRow struct {
	Date      time.Time `json:"date"`
	Whose     string    `json:"whose"`
	OnRecord  bool      `json:"on_record"`
	Nonceless bool      `json:"nonceless"`
	Assertion string    `json:"assertion"`
	DomainID  string    `json:"domain_id"`
}

// reportRow is one line of telemetry.
type reportRow struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Status  bool      `json:"status"`
	Own     bool      `json:"with_own_certificate"`
	Reason  string    `json:"reason"`
	Context string    `json:"context"`
	Ignored string    `json:"ignored"`
}

func printReports(s streams, reports []registraradmin.Report) error {
	s.Printf("telemetry\n")
	rows := make([]reportRow, len(reports))
	for i, r := range reports {
		rows[i] = reportRow{r.At, r.Kind, r.Status, r.WithOwnCertificate, r.Reason, r.Context, r.Ignored}
	}
	return cli.PrintList(s.Out, cli.Table, rows)
}

// saveEvidence writes each artifact into a file of its own.
func saveEvidence(dir string, e *registraradmin.Evidence) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	report, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"evidence.json": report, "idevid.der": e.Device.IDevID}
	for i := range e.Exchanges {
		x := &e.Exchanges[i]
		files[x.ID+"-pledge-request"] = x.PledgeRequest
		files[x.ID+"-registrar-request"] = x.RegistrarReq
		files[x.ID+"-voucher"] = x.Voucher.Voucher
		files[x.ID+"-audit-log.json"] = x.AuditLog
		files[x.ID+"-voucher-status.json"] = x.PledgeStatus
		files[x.ID+"-enroll-status.json"] = x.EnrollStatus
	}
	for name, data := range files {
		if len(data) == 0 {
			continue
		}
		path := filepath.Join(dir, name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) { //nolint:gosec // the operator's own folder
			continue
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
	}
	return nil
}
