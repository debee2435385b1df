package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar/baseline"
)

// estBaselineCmd is a device's side of baselines.
type estBaselineCmd struct {
	estPeer
	Out         string `required:"" help:"File for the baseline. The one that is there is what the device has: an older one is refused."`
	Signed      string `help:"Keep it as it was signed as well, in this file."`
	CMS         bool   `name:"cms" help:"Ask for CMS in place of JWS."`
	Serial      string `name:"serial-number" help:"The device's serial number, where its certificate does not have it."`
	Acknowledge string `enum:"received,applied,failed,none" default:"applied" help:"What to tell the registrar of it: received, applied, failed, or none to say nothing."`
	Message     string `help:"More about that, for the registrar's operator."`
}

// Run fetches, verifies, writes and acknowledges.
func (c *estBaselineCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	switch {
	case client.Certificate == nil:
		return required("--cert")
	case c.CA == "":
		return cli.Usage("the flag --ca is missing: the baseline is signed by a registrar whose certificate chains to it")
	}
	expect, err := c.expect(client.Certificate.Leaf)
	if err != nil {
		return err
	}
	device := &baseline.Client{EST: client}
	if c.CMS {
		device.Format = baseline.CMS
	}
	got, signed, err := device.Fetch(ctx, expect)
	if err != nil {
		return baselineFailure(err)
	}
	if got == nil {
		cli.Note(s.Err, "version %d is still the one", expect.Version)
		return nil
	}
	if c.Signed != "" {
		if err := pemfile.Write(c.Signed, signed, 0o600); err != nil {
			return err
		}
	}
	if err := pemfile.Write(c.Out, got.Raw, 0o600); err != nil {
		return err
	}
	s.Printf("version %d of %s, from version %d of the baseline of %s, signed by %s\n", got.Text.Version, got.Text.Device.SerialNumber,
		got.Text.Document.Version, baselineOf(got.Text.Document.Group), got.Signer.Subject)
	if c.Acknowledge == "none" {
		return nil
	}
	return baselineFailure(device.Acknowledge(ctx, got, c.Acknowledge, c.Message))
}

// expect is what the device knows: who it is, and what it has.
func (c *estBaselineCmd) expect(leaf *x509.Certificate) (*baseline.Expect, error) {
	pool, err := pemfile.Pool(c.CA)
	if err != nil {
		return nil, err
	}
	e := &baseline.Expect{Anchors: pool, Now: time.Now()}
	if c.Serial != "" {
		e.SerialNumbers = []string{c.Serial}
	} else {
		for _, name := range append([]string{leaf.Subject.SerialNumber, leaf.Subject.CommonName}, leaf.DNSNames...) {
			if name != "" {
				e.SerialNumbers = append(e.SerialNumbers, name)
			}
		}
	}
	has, err := os.ReadFile(c.Out)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return e, nil
	case err != nil:
		return nil, err
	}
	var text baseline.Text
	if err := json.Unmarshal(has, &text); err != nil || text.Type != baseline.Type {
		return nil, fmt.Errorf("%s is there and is no baseline: move it away", c.Out)
	}
	e.Version, e.SHA256 = text.Version, sha256.Sum256(has)
	return e, nil
}

// baselineFailure says what to do where the text is refused.
func baselineFailure(err error) error {
	switch {
	case errors.Is(err, baseline.ErrOtherDevice):
		return cli.Hint(cli.Refused(err), "if the device's certificate does not have its serial number, say it by --serial-number")
	case errors.Is(err, baseline.ErrOlder), errors.Is(err, baseline.ErrSigner), errors.Is(err, baseline.ErrText):
		return cli.Refused(err)
	}
	return estFailure(err)
}
