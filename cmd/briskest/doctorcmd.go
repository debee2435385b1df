package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
)

type doctorCmd struct {
	Config  string        `xor:"what" required:"" type:"existingfile" help:"registrar.yaml, and all that it names."`
	MASA    string        `xor:"what" required:"" name:"masa" type:"existingfile" help:"masa.yaml, and all that it names."`
	Timeout time.Duration `default:"5s" help:"How long one answer of another server may take."`
	output
}

// Help says what the grades mean and what is changed.
func (doctorCmd) Help() string {
	return "It reads, and changes nothing. Grades: ok; note, to be known; warn, to be looked after; bad, to be mended now, which is exit code 1."
}

// grade is how well something is.
type grade string

// The grades, from the best to the worst.
const (
	gradeOK   grade = "ok"
	gradeNote grade = "note"
	gradeWarn grade = "warn"
	gradeBad  grade = "bad"
)

// finding is one line of a report.
type finding struct {
	Grade grade  `json:"grade"`
	Check string `json:"check"` // a stable name, such as files.key
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// doctor gathers findings.
type doctor struct {
	timeout  time.Duration
	now      func() time.Time
	findings []finding
}

func (d *doctor) add(g grade, check, do, format string, args ...any) {
	d.findings = append(d.findings, finding{g, check, fmt.Sprintf(format, args...), do})
}

// verdict adds what as ok, or err as the given grade.
func (d *doctor) verdict(g grade, check, do, what string, err error) {
	if err != nil {
		d.add(g, check, do, "%s: %v", what, err)
		return
	}
	d.add(gradeOK, check, "", "%s", what)
}

// Run grades a deployment.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	d := &doctor{timeout: c.Timeout, now: time.Now}
	if c.Config != "" {
		d.registrar(ctx, c.Config)
	} else {
		d.masa(ctx, c.MASA)
	}
	if err := cli.PrintList(s.Out, c.Format, d.findings); err != nil {
		return err
	}
	var bad []string
	for _, f := range d.findings {
		if f.Grade == gradeBad {
			bad = append(bad, f.Check)
		}
	}
	if len(bad) > 0 {
		return cli.Hint(errors.New("to be mended now: "+strings.Join(bad, ", ")), "the column do says what helps")
	}
	return nil
}

// registrar looks at one registrar.
func (d *doctor) registrar(ctx context.Context, file string) {
	cfg, err := loadRegistrarConfig(file)
	if err == nil {
		d.files(cfg.registrarFiles())
		defer cfg.fetcher.Close()
		_, _, err = cfg.build(ctx)
	}
	d.verdict(gradeBad, "configuration", "mend the file; briskest registrar --config FILE --check tells the same", "the configuration "+file+" loads", err)
	if err != nil {
		return
	}
	d.registrarSettings(cfg)
	rows, err := registrarStatus(ctx, file)
	if err != nil {
		d.add(gradeBad, "certificates", "see briskest ca status --config", "%v", err)
	}
	d.certificates(rows)
	for i := range cfg.Manufacturers {
		d.reachMASA(ctx, cfg, &cfg.Manufacturers[i])
	}
	d.server(ctx, cfg.path(cfg.Listen.Admin))
	d.quotas(ctx, cfg)
	d.machine(cfg.path(cfg.Store), cfg.Limits.Connections)
}

// masa looks at one MASA.
func (d *doctor) masa(ctx context.Context, file string) {
	cfg, err := loadMASAConfig(file)
	if err == nil {
		d.files(cfg.masaFiles())
		defer cfg.fetcher.Close()
		settings, servers, wrong := cfg.build(ctx)
		if err = wrong; err == nil {
			d.verdict(gradeBad, "voucher-keys", "look after the key's file or token", "every voucher key signs", settings.CheckSigners(ctx, d.now()))
			for _, s := range servers {
				d.certificates([]caStatusRow{statusRow(watched{"MASA", s.Leaf, renewMASA}, d.now())})
			}
		}
	}
	d.verdict(gradeBad, "configuration", "mend the file", "the configuration "+file+" loads", err)
	if err != nil {
		return
	}
	d.masaSettings(cfg)
	d.server(ctx, cfg.path(cfg.Listen.Admin))
	d.machine(cfg.path(cfg.Store), 0)
}

// certificates grades what briskest ca status lists.
func (d *doctor) certificates(rows []caStatusRow) {
	for _, r := range rows {
		g := gradeOK
		switch {
		case r.State == stateEnded && r.Do != endOfOld, r.State == stateEarly, strings.HasPrefix(r.State, keyBroken):
			g = gradeBad
		case r.State == stateSoon, r.Do != "" && r.Do != endOfOld:
			g = gradeWarn
		}
		what := r.Role + ": " + r.State
		if r.NotAfter != nil {
			what += ", until " + r.NotAfter.UTC().Format(time.RFC3339)
		}
		check := "certificates"
		if r.NotAfter == nil {
			check = "keys"
		}
		d.add(g, check, r.Do, "%s", what)
	}
}
