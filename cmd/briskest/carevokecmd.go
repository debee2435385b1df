package main

import (
	"context"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// certificateArg names one certificate.
type certificateArg struct {
	Issuer    string `help:"Name of the issuer, where several certificates have the serial number."`
	Authority string `help:"The same by the key of the CA, as ca list shows it in JSON."`
}

func (c *certificateArg) ref(serial string) registraradmin.CertificateRef {
	return registraradmin.CertificateRef{Serial: strings.ToLower(strings.ReplaceAll(serial, ":", "")), Issuer: c.Issuer, Authority: c.Authority}
}

type caRevokeCmd struct {
	registrarData
	certificateArg
	Serial     string  `arg:"" optional:"" help:"Serial number, in hex as ca list shows it; or leave it out and select by flags."`
	Device     string  `help:"All certificates of this device, by ID or serial number."`
	Key        string  `placeholder:"SHA256" help:"All certificates of this key: SHA-256 of the SubjectPublicKeyInfo, in hex."`
	Profile    string  `help:"All certificates of this profile."`
	Label      *string `help:"All certificates of this label's profile and issuer; '' is the default label."`
	Credential string  `help:"All certificates that this credential led to, such as basic:USER."`
	DryRun     bool    `help:"Only show which."`
	Reason     string  `default:"unspecified" help:"unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn or aACompromise (RFC 5280, Section 5.3.1)."`
	output
}

// Run revokes one certificate, or those that are selected.
func (c *caRevokeCmd) Run(ctx context.Context, s streams) error {
	reason := -1
	for i, name := range reasons() {
		if name != "" && strings.EqualFold(name, c.Reason) {
			reason = i
		}
	}
	many := c.Device != "" || c.Key != "" || c.Profile != "" || c.Label != nil || c.Credential != ""
	switch {
	case reason < 0:
		return cli.Usage("--reason %q is not a word of RFC 5280, Section 5.3.1", c.Reason)
	case c.Serial != "" && many:
		return cli.Usage("a serial number is one certificate: leave out --device, --key, --profile, --label and --credential")
	case c.Serial == "" && !many && c.Issuer == "":
		return cli.Usage("which certificates? Name a serial number, or --device, --key, --profile, --label, --credential or --issuer")
	case c.Serial == "" && c.Authority != "":
		return cli.Usage("--authority goes with a serial number")
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		if c.Serial != "" {
			cert, err := client.Revoke(ctx, registraradmin.Revoke{CertificateRef: c.ref(c.Serial), Reason: reason, DryRun: c.DryRun})
			if err != nil {
				return err
			}
			return cli.PrintOne(s.Out, c.Format, certificateRows([]registraradmin.Certificate{*cert})[0])
		}
		out, err := client.RevokeMany(ctx, registraradmin.RevokeMany{
			Device: c.Device, Key: strings.ToLower(c.Key), Profile: c.Profile, Label: c.Label, Credential: c.Credential, Issuer: c.Issuer,
			Reason: reason, DryRun: c.DryRun,
		})
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, certificateRows(out.Certificates))
	})
}

type caReleaseCmd struct {
	registrarData
	certificateArg
	Serial string `arg:"" help:"Serial number, in hex as ca list shows it."`
	DryRun bool   `help:"Only show which."`
	output
}

// Run takes a certificate from hold.
func (c *caReleaseCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		cert, err := client.Release(ctx, registraradmin.Revoke{CertificateRef: c.ref(c.Serial), DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, certificateRows([]registraradmin.Certificate{*cert})[0])
	})
}
