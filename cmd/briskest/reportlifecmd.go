package main

import (
	"context"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type reportExpiringCmd struct {
	registrarData
	Within config.Duration `default:"30d" help:"Certificates that end in that time, such as 30d."`
	output
}

// expiringRow is one certificate that nobody has renewed yet.
type expiringRow struct {
	NotAfter string `json:"not_after"`
	State    string `json:"state"` // ended, or what is left
	Device   string `json:"device"`
	Subject  string `json:"subject"`
	Profile  string `json:"profile"`
	Serial   string `json:"serial"`
}

// Help says which certificates are left out.
func (reportExpiringCmd) Help() string {
	return "Certificates that count, in order of ID. One that the device has renewed is left out: it is there for the new one to be tried."
}

// Run lists certificates that end soon, or have ended and were not renewed.
func (c *reportExpiringCmd) Run(ctx context.Context, s streams) error {
	now := time.Now()
	var rows []expiringRow
	err := c.operate(ctx, s, func(client *registraradmin.Client) error {
		newest := map[string]time.Time{} // by device and profile
		var ending []registraradmin.Certificate
		for cert, err := range client.Certificates(ctx, registraradmin.CertificateList{Status: "issued"}) {
			if err != nil {
				return err
			}
			key := cert.Device + " " + cert.Profile + " " + cert.Subject
			if newest[key].Before(cert.NotAfter) {
				newest[key] = cert.NotAfter
			}
			if cert.NotAfter.Before(now.Add(time.Duration(c.Within))) {
				ending = append(ending, cert)
			}
		}
		for _, cert := range ending {
			if cert.NotAfter.Before(newest[cert.Device+" "+cert.Profile+" "+cert.Subject]) {
				continue
			}
			state := "in " + days(cert.NotAfter.Sub(now))
			if cert.NotAfter.Before(now) {
				state = stateEnded
			}
			rows = append(rows, expiringRow{timeText(cert.NotAfter), state, cert.Device, cert.Subject, cert.Profile, cert.Serial})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

type reportNeverSeenCmd struct {
	registrarData
	Older config.Duration `default:"30d" help:"On record for longer than that."`
	output
}

type reportSilentCmd struct {
	registrarData
	Since config.Duration `default:"90d" help:"Got nothing for longer than that."`
	output
}

// absentRow is one device that did not come.
type absentRow struct {
	SerialNumber string `json:"serial_number"`
	Manufacturer string `json:"manufacturer"`
	State        string `json:"state"`
	Group        string `json:"group"`
	CreatedAt    string `json:"created_at"`
	SeenAt       string `json:"seen_at"`
}

// Run lists devices that were expected and never came.
func (c *reportNeverSeenCmd) Run(ctx context.Context, s streams) error {
	before := time.Now().Add(-time.Duration(c.Older))
	return c.absent(ctx, s, &c.output, func(d *registraradmin.Device) bool {
		return d.State == "expected" && d.SeenAt == nil && d.CreatedAt.Before(before)
	})
}

// Run lists devices in service that have got nothing for long.
func (c *reportSilentCmd) Run(ctx context.Context, s streams) error {
	before := time.Now().Add(-time.Duration(c.Since))
	return c.absent(ctx, s, &c.output, func(d *registraradmin.Device) bool {
		return (d.State == "enrolled" || d.State == "vouched") && d.SeenAt != nil && d.SeenAt.Before(before)
	})
}

// absent prints the devices that match.
func (d *registrarData) absent(ctx context.Context, s streams, out *output, match func(*registraradmin.Device) bool) error {
	var rows []absentRow
	err := d.operate(ctx, s, func(client *registraradmin.Client) error {
		for device, err := range client.Devices(ctx) {
			if err != nil {
				return err
			}
			if !match(&device) {
				continue
			}
			row := absentRow{device.SerialNumber, device.Manufacturer, device.State, device.Group, timeText(device.CreatedAt), ""}
			if device.SeenAt != nil {
				row.SeenAt = timeText(*device.SeenAt)
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, out.Format, rows)
}
