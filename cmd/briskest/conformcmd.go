package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

// conformCmd runs the conformance suite against anybody's implementation.
type conformCmd struct {
	EST conformESTCmd `cmd:"" name:"est" help:"Ask an EST server, as clients of many kinds. Exit codes: 0 no MUST failed, 1 a MUST failed, 2 usage, 3 a SHOULD failed under --strict, 4 the target cannot be reached."`

	Registrar conformRegistrarCmd `cmd:"" name:"registrar" help:"Ask a BRSKI registrar, as its pledges and as the MASA behind it. Exit codes as of conform est."`

	MASA conformMASACmd `cmd:"" name:"masa" help:"Ask a MASA, as registrars and as the pledges behind them. Exit codes as of conform est."`

	ESTClient conformESTClientCmd `cmd:"" name:"est-client" help:"Be an unkind EST server to an EST client, which is started again and again; docs/conformance-peers.md says how. Exit codes as of est."`

	Pledge conformPledgeCmd `cmd:"" name:"pledge" help:"Be an unkind registrar, and the MASA behind it, to a BRSKI pledge, which is started again and again; docs/conformance-peers.md says how. Exit codes as of est."`
}

// conformFlags are alike for every role.
type conformFlags struct {
	Format     string        `name:"output" short:"o" enum:"table,json,junit,html" default:"table" help:"The report: ${enum}. What the run left on the target is in the table and the page, and on standard error otherwise."`
	Strict     bool          `help:"Exit with 3 when a SHOULD failed."`
	Only       []string      `placeholder:"CHECK" sep:"none" help:"Only these checks: IDs, beginnings of IDs such as RFC7030-4.1.3, or citations such as \"RFC 8951\". May be repeated."`
	List       bool          `help:"List the checks and ask nothing."`
	Exclusions string        `placeholder:"PEER" help:"What is expected of a known peer: the name of a profile or a JSON file."`
	Raw        string        `placeholder:"DIR" help:"Write what was sent and what came, a file a check, into this new directory; passwords are left out."`
	Timeout    time.Duration `default:"10s" help:"For one check."`
	Deadline   time.Duration `default:"5m" help:"For all of them."`
}

// conform lists or runs checks, and prints the report.
func conform[T any](ctx context.Context, s streams, f *conformFlags, checks []conformance.Check[T], name string, prepare func() (T, func(context.Context) error, error)) error {
	checks, err := conformance.Select(checks, f.Only)
	if err != nil {
		return cli.Usage("%w", err)
	}
	if f.List {
		return listChecks(s.Out, f.Format, conformance.Metas(checks))
	}
	if f.Timeout <= 0 || f.Deadline <= 0 {
		return cli.Usage("--timeout and --deadline must be above zero")
	}
	var exclusions *conformance.Exclusions
	if f.Exclusions != "" {
		if exclusions, err = conformance.LoadExclusions(f.Exclusions); err != nil {
			return cli.Usage("%w", err)
		}
	}
	target, reach, err := prepare()
	if err != nil {
		return err
	}
	if f.Raw != "" {
		if err := os.Mkdir(f.Raw, 0o700); err != nil {
			return cli.Usage("--raw: %w", err)
		}
	}
	if err := reach(ctx); err != nil {
		return &cli.Error{Code: conformance.ExitUnreachable, Err: fmt.Errorf("%s cannot be reached: %w", name, err)}
	}
	report := conformance.Run(ctx, target, checks, &conformance.Options{
		Target: name, Timeout: f.Timeout, Deadline: f.Deadline, Raw: f.Raw != "", Exclusions: exclusions,
	})
	return f.print(s, report)
}

// print writes the report where it belongs, and says how it went.
func (f *conformFlags) print(s streams, report *conformance.Report) error {
	if err := report.Write(s.Out, f.Format); err != nil {
		return err
	}
	if f.Format != "table" {
		if err := report.WriteEnd(s.Err); err != nil {
			return err
		}
	}
	if f.Raw != "" {
		if err := writeExchanges(f.Raw, report); err != nil {
			return err
		}
	}
	switch code := report.ExitCode(f.Strict); code {
	case conformance.ExitPassed:
		return nil
	case conformance.ExitMust:
		return &cli.Error{Code: code, Err: fmt.Errorf("%s fails %d checks of what it MUST do", report.Target, report.Failed(conformance.Must))}
	default:
		return &cli.Error{Code: code, Err: fmt.Errorf("%s fails %d checks of what it SHOULD do", report.Target, report.Failed(conformance.Should))}
	}
}

// writeExchanges writes a file a check.
func writeExchanges(dir string, report *conformance.Report) error {
	var errs []error
	for i := range report.Checks {
		c := &report.Checks[i]
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s %s: %s\n%s\n", c.ID, c.Verdict, c.Text, c.Reason)
		for _, e := range c.Exchanges {
			fmt.Fprintf(&b, "\n>>> %s\n%s\n<<< %s\n%s\n", e.Sent, e.RawSent, e.Came, e.RawCame)
		}
		errs = append(errs, pemfile.Write(filepath.Join(dir, c.ID+".txt"), b.Bytes(), 0o600))
	}
	return errors.Join(errs...)
}

// listed is a check in a list.
type listed struct {
	ID           string            `json:"id"`
	Citation     string            `json:"citation"`
	Level        conformance.Level `json:"level"`
	Role         conformance.Role  `json:"role"`
	Text         string            `json:"text"`
	Requirements []string          `json:"requirements"`
}

// listChecks prints JSON lines, or a table.
func listChecks(w io.Writer, format string, checks []conformance.Meta) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		for _, c := range checks {
			if err := encoder.Encode(listed{c.ID, c.Citation, c.Level, c.Role, c.Text, c.Requirements}); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", c.ID, c.Level, c.Text)
	}
	fmt.Fprintf(tw, "%d checks\n", len(checks))
	return tw.Flush()
}
