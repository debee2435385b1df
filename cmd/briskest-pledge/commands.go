package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/cli"
)

// progress prints each step as it is done, unless a machine reads.
func progress(out io.Writer, o output) func(pledge.Step) {
	if o.Format != cli.Table {
		return nil
	}
	return func(done pledge.Step) { fmt.Fprintf(out, "%-20s %s\n", done.Name, done.Proven) }
}

// attemptText says where an attempt is.
func attemptText(a pledge.AttemptStatus) string {
	if !a.Since.IsZero() {
		return fmt.Sprintf("%s asked since %s", a.Registrar, a.Since.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s %s, not before %s", a.Registrar, a.Reason, a.NotBefore.UTC().Format(time.RFC3339))
}

type onboardCmd struct {
	device
	output
}

// Run onboards, from wherever an earlier run stopped.
func (c *onboardCmd) Run(ctx context.Context, s streams) error {
	p, err := c.pledge(ctx, progress(s.Out, c.output))
	if err != nil {
		return err
	}
	defer c.stop()
	result, err := p.Onboard(ctx)
	if err != nil {
		return failure(err)
	}
	return cli.PrintOne(s.Out, c.Format, resultOf(result.Certificate))
}

type renewCmd struct {
	device
	output
	Within time.Duration `help:"Renew only when the certificate ends within this time; default always." placeholder:"720h"`
}

// Run renews the LDevID.
func (c *renewCmd) Run(ctx context.Context, s streams) error {
	c.existing = true
	p, err := c.pledge(ctx, progress(s.Out, c.output))
	if err != nil {
		return err
	}
	defer c.stop()
	if c.Within > 0 {
		status, err := p.Status()
		if err != nil {
			return failure(err)
		}
		if cert := status.Certificate; cert != nil && time.Until(cert.NotAfter) > c.Within {
			return cli.PrintOne(s.Out, c.Format, resultOf(cert))
		}
	}
	result, err := p.Renew(ctx)
	if err != nil {
		return failure(err)
	}
	return cli.PrintOne(s.Out, c.Format, resultOf(result.Certificate))
}

type statusCmd struct {
	device
	output
}

// statusRow is what the device has learned.
type statusRow struct {
	Stage           string    `json:"stage"`
	SerialNumber    string    `json:"serial_number"`
	Registrar       string    `json:"registrar"`
	Attempts        string    `json:"attempts"`
	Pinned          string    `json:"pinned"`
	Serial          string    `json:"serial"`
	Subject         string    `json:"subject"`
	NotAfter        time.Time `json:"not_after"`
	VoucherReported bool      `json:"voucher_reported"`
	Reported        bool      `json:"enrollment_reported"`
	Renewing        bool      `json:"renewing"`
}

// Run prints what is stored; it connects to nobody.
func (c *statusCmd) Run(ctx context.Context, s streams) error {
	c.existing = true
	p, err := c.pledge(ctx, nil)
	if err != nil {
		return err
	}
	status, err := p.Status()
	if err != nil {
		return failure(err)
	}
	row := statusRow{
		Stage: string(status.Stage), SerialNumber: status.SerialNumber, Registrar: status.Registrar,
		VoucherReported: status.VoucherReported, Reported: status.Reported, Renewing: status.Renewing,
	}
	var attempts []string
	for _, a := range status.Attempts {
		attempts = append(attempts, attemptText(a))
	}
	row.Attempts = strings.Join(attempts, "; ")
	switch {
	case status.Pinned != nil:
		row.Pinned = status.Pinned.Subject.String()
	case status.PinnedKeySHA256 != nil:
		row.Pinned = "key with SHA-256 " + hex.EncodeToString(status.PinnedKeySHA256)
	}
	if cert := status.Certificate; cert != nil {
		r := resultOf(cert)
		row.Serial, row.Subject, row.NotAfter = r.Serial, r.Subject, r.NotAfter
	}
	return cli.PrintOne(s.Out, c.Format, row)
}
