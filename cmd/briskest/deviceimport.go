package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/registrar"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/inventory"
)

type deviceImportCmd struct {
	registrarData
	Manufacturer string `required:"" help:"Manufacturer, as in the configuration."`
	File         string `arg:"" help:"CSV with a heading, or JSON lines, of serial_number, idevid (PEM or base64), model, firmware, batch, hardware_module, secure_element, tpm, attribute.NAME, owner; or serial numbers, one a line; or PEM IDevIDs; or a signed manifest; - for standard input."`
	Owner        string `help:"Whose the devices are, at a cloud registrar, as in the configuration." xor:"owner"`
	Unowned      bool   `help:"Nobody owns the devices any more, or yet, at a cloud registrar." xor:"owner"`
	Owners       bool   `help:"The rows say whose each device is (the second field, in a list without a heading); empty for nobody's." xor:"owner"`
	DryRun       bool   `help:"Check everything, and change nothing."`
	output
}

// owner is whose the devices are that a row says nothing about; nil leaves that as it is.
func (c *deviceImportCmd) owner() *string {
	if c.Owners || c.Unowned || c.Owner != "" {
		return &c.Owner
	}
	return nil
}

// Run checks the whole file, and then imports it.
func (c *deviceImportCmd) Run(ctx context.Context, s streams) error {
	in, done, err := openTwice(s.In, c.File)
	if err != nil {
		return err
	}
	defer done()
	start := make([]byte, 512)
	n, err := io.ReadFull(in, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if manifest.Is(start[:n]) {
		return c.manifest(ctx, s, in)
	}
	im := &inventory.Importer{Actor: actor(), Manufacturer: c.Manufacturer, Owner: c.owner(), Owners: c.Owners, DryRun: c.DryRun}
	shown := newProgress(s.Err)
	im.Progress = func(p inventory.Progress) {
		shown.total = p.Of
		shown.show(p.Checking, p.Rows)
	}
	var report *inventory.Report
	err = c.operate(ctx, s, func(client *registraradmin.Client) error {
		im.Import = client.ImportRequest
		report, err = im.Run(ctx, in, c.File)
		return err
	})
	shown.end()
	if report != nil {
		problems(s, reportOut(report))
	}
	switch {
	case cli.Code(err) == cli.ExitNotFound:
		return cli.Hint(err, "add it to manufacturers in %s, and have the registrar load that with SIGHUP", c.Config)
	case err != nil && !errors.Is(err, inventory.ErrProblems) && report != nil && report.Rows > 0 && report.Batches > 0:
		return cli.Hint(err, "what was imported before stays on record; import the whole file again, which changes nothing about it")
	case err != nil:
		return err
	}
	return cli.PrintOne(s.Out, c.Format, deviceImportRow{
		Rows: report.Rows, Added: report.Added, Changed: report.Changed, Known: report.Known, Given: report.Given, SHA256: report.SHA256,
	})
}

func problems(s streams, report *registraradmin.ImportReport) {
	for _, p := range report.Problems {
		cli.Note(s.Err, "line %d, %q: %s", p.Line, p.SerialNumber, p.Text)
	}
	if more := report.Bad - len(report.Problems); more > 0 {
		cli.Note(s.Err, "%d further problems", more)
	}
}

// manifest has the registrar look who signed a manifest, and import it.
func (c *deviceImportCmd) manifest(ctx context.Context, s streams, in io.ReadSeeker) error {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if c.Owners {
		return cli.Usage("--owners is for lists; the rows of a manifest have their manufacturer's columns")
	}
	var report *registraradmin.ImportReport
	err := c.operate(ctx, s, func(client *registraradmin.Client) (err error) {
		report, err = client.ImportManifest(ctx, &registraradmin.ImportManifest{
			Manufacturer: c.Manufacturer, File: filepath.Base(c.File), DryRun: c.DryRun, Owner: c.Owner, Unowned: c.Unowned,
		}, in)
		return err
	})
	if err != nil {
		return err
	}
	problems(s, report)
	if report.Bad > 0 {
		return fmt.Errorf("%w: %d of %d rows have problems", inventory.ErrProblems, report.Bad, report.Rows)
	}
	return cli.PrintOne(s.Out, c.Format, deviceImportRow{
		Rows: report.Rows, Added: report.Added, Changed: report.Changed, Known: report.Known, Given: report.Given, SHA256: report.SHA256, Signer: report.Signer,
	})
}

// deviceImportRow is what an import prints.
type deviceImportRow struct {
	Rows    int    `json:"rows"`
	Added   int    `json:"added"`
	Changed int    `json:"changed"`
	Known   int    `json:"known"`
	Given   int    `json:"given"` // that have another owner now
	SHA256  string `json:"sha256"`
	Signer  string `json:"signer,omitempty"` // of a manifest: SHA-256 of the certificate
}

// openTwice opens a file that is read more than once. Standard input can be read
// only once, so it is kept in a temporary file meanwhile.
func openTwice(stdin io.Reader, file string) (in *os.File, done func(), err error) {
	if file != "-" {
		in, err = os.Open(file)
		if err != nil {
			return nil, nil, cli.Usage("%w", err)
		}
		return in, func() { discard(in.Close) }, nil
	}
	if in, err = os.CreateTemp("", "briskest-import-*"); err != nil {
		return nil, nil, err
	}
	done = func() {
		discard(in.Close)
		discard(func() error { return os.Remove(in.Name()) })
	}
	if _, err := io.Copy(in, stdin); err != nil {
		done()
		return nil, nil, fmt.Errorf("standard input: %w", err)
	}
	return in, done, nil
}

// deviceFilter is which devices a command is about: those that have all of it.
type deviceFilter struct {
	State        string   `enum:",expected,vouched,enrolled,suspended,decommissioned" default:"" help:"Only these: expected, vouched, enrolled, suspended or decommissioned."`
	Manufacturer string   `help:"Only this manufacturer's."`
	Group        string   `help:"Only of this group."`
	Model        string   `help:"Only of this model."`
	Firmware     string   `help:"Only with this firmware."`
	Batch        string   `help:"Only of this batch."`
	Module       string   `name:"hardware-module" help:"Only with this hardware module: its type, a colon and its serial number in hex."`
	Element      string   `name:"secure-element" help:"Only with this secure element."`
	TPM          string   `name:"tpm" help:"Only with this TPM: SHA-256 of its endorsement key."`
	Attribute    []string `sep:"none" placeholder:"NAME=VALUE" help:"Only with this attribute; may be given several times."`
	Serial       string   `name:"serial" placeholder:"PREFIX" help:"Only whose serial number begins so."`
	SeenAfter    string   `placeholder:"TIME" help:"Only seen at that time or later: a day, or a time as RFC 3339 has it."`
	SeenBefore   string   `placeholder:"TIME" help:"Only seen last before that time."`
	NeverSeen    bool     `help:"Only never seen."`
}

func (f *deviceFilter) list() (registraradmin.DeviceList, error) {
	out := registraradmin.DeviceList{
		State: f.State, Manufacturer: f.Manufacturer, Group: f.Group, Model: f.Model, Firmware: f.Firmware, Batch: f.Batch,
		HardwareModule: f.Module, SecureElement: f.Element, TPM: f.TPM, Attributes: f.Attribute, SerialPrefix: f.Serial, NeverSeen: f.NeverSeen,
	}
	var err error
	if out.SeenAfter, err = dayText(f.SeenAfter); err == nil {
		out.SeenBefore, err = dayText(f.SeenBefore)
	}
	if err != nil {
		return out, cli.Usage("%w", err)
	}
	return out, nil
}

type deviceListCmd struct {
	registrarData
	deviceFilter
	output
}

// Run lists the devices.
func (c *deviceListCmd) Run(ctx context.Context, s streams) error {
	filter, err := c.list()
	if err != nil {
		return err
	}
	var rows []registraradmin.Device
	err = c.operate(ctx, s, func(client *registraradmin.Client) error {
		for device, err := range client.QueryDevices(ctx, filter) {
			if err != nil {
				return err
			}
			rows = append(rows, device)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

type deviceExportCmd struct {
	registrarData
	deviceFilter
	Format string `short:"o" enum:"csv,jsonl" default:"jsonl" help:"csv or jsonl, as an import reads them."`
}

// Run writes the devices as they come.
func (c *deviceExportCmd) Run(ctx context.Context, s streams) error {
	filter, err := c.list()
	if err != nil {
		return err
	}
	filter.WithIDevID = true
	w, err := inventory.NewWriter(s.Out, c.Format)
	if err != nil {
		return err
	}
	err = c.operate(ctx, s, func(client *registraradmin.Client) error {
		for d, err := range client.QueryDevices(ctx, filter) {
			if err != nil {
				return err
			}
			if err := w.Write(&registrar.Device{
				Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber, IDevID: d.IDevID, Model: d.Model, Firmware: d.Firmware, Batch: d.Batch,
				HardwareModule: d.HardwareModule, SecureElement: d.SecureElement, TPM: d.TPM, Attributes: d.Attributes,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, w.Flush())
}
