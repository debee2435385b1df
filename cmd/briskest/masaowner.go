package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/rows"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaOwnerCmd struct {
	Add    masaOwnerAddCmd    `cmd:"" help:"Note to whom a device was sold; from then on only that owner gets vouchers."`
	Import masaOwnerImportCmd `cmd:"" help:"Note many sales."`
	End    masaOwnerEndCmd    `cmd:"" help:"The owner gave a device back."`
}

// domainFlags name a domain by its CA.
type domainFlags struct {
	Certificate  string `type:"existingfile" help:"PEM file of the owner's domain CA (the last of several certificates)."`
	PublicKey    string `type:"existingfile" help:"PEM file of the public key of the owner's domain CA."`
	KeySHA256    string `name:"key-sha256" help:"SHA-256 of that public key (SubjectPublicKeyInfo), in hex."`
	Fingerprint  string `help:"SHA-256 of the owner's domain CA certificate, in hex."`
	DomainID     string `name:"domain-id" help:"The owner's domainID (RFC 8995, Section 5.8.2), in hex."`
	Name         string `help:"The customer, for people."`
	RegistrarURL string `name:"registrar-url" help:"The owner's registrar, for devices that ask in the cloud."`
	ESTDomain    string `name:"est-domain" help:"The owner's EST server, for devices that ask in the cloud."`
}

func (f *domainFlags) ref() (masa.DomainRef, error) {
	r := masa.DomainRef{Name: f.Name, RegistrarURL: f.RegistrarURL, ESTDomain: f.ESTDomain}
	var err error
	if f.Certificate != "" {
		certs, err := pemfile.Certificates(f.Certificate)
		if err != nil {
			return r, err
		}
		r.Certificate = certs[len(certs)-1].Raw
	}
	if f.PublicKey != "" {
		data, err := config.Read(f.PublicKey)
		if err != nil {
			return r, err
		}
		if r.PublicKey, err = publicKeyText(string(data)); err != nil {
			return r, cli.Usage("%s: %w", f.PublicKey, err)
		}
	}
	if r.KeyHash, err = hexText(f.KeySHA256); err != nil {
		return r, cli.Usage("--key-sha256: %w", err)
	}
	if r.Fingerprint, err = hexText(f.Fingerprint); err != nil {
		return r, cli.Usage("--fingerprint: %w", err)
	}
	if r.DomainID, err = hexText(f.DomainID); err != nil {
		return r, cli.Usage("--domain-id: %w", err)
	}
	return r, nil
}

// publicKeyText reads a SubjectPublicKeyInfo as PEM, or as the base64 of its DER.
func publicKeyText(text string) ([]byte, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil && block.Type == "PUBLIC KEY" {
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("neither a PEM public key nor the base64 of one")
	}
	return der, nil
}

type masaOwnerAddCmd struct {
	masaData
	masaDeviceArg
	domainFlags
	Replace bool `help:"End earlier ownerships: the device was sold on."`
	output
}

// Run notes the owner.
func (c *masaOwnerAddCmd) Run(ctx context.Context, s streams) error {
	domain, err := c.domainFlags.ref()
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		owner, err := op.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: c.masaDeviceArg.ref(), DomainRef: domain, Replace: c.Replace, By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, owner)
	})
}

type masaOwnerImportCmd struct {
	masaData
	domainFlags
	Product string `help:"Product line of rows that name none."`
	File    string `arg:"" help:"CSV with a heading, or JSON lines, of serial_number, product, certificate (PEM or base64), public_key, key_sha256, fingerprint, domain_id (hex), name, registrar_url, est_domain; or serial numbers, one a line; - for standard input. The flags speak for rows that name no owner."`
	Replace bool   `help:"End earlier ownerships: the devices were sold on."`
	DryRun  bool   `help:"Check everything, and change nothing."`
	output
}

func ownerColumns() []string {
	return []string{
		"serial_number", "product", "certificate", "public_key", "key_sha256", "fingerprint", "domain_id", "name",
		"registrar_url", "est_domain",
	}
}

// Run checks the whole file, and then imports it.
func (c *masaOwnerImportCmd) Run(ctx context.Context, s streams) error {
	domain, err := c.ref()
	if err != nil {
		return err
	}
	list := &listImport[masa.OwnerClaim]{
		file: c.File, columns: ownerColumns(), dryRun: c.DryRun,
		parse: func(row *rows.Row) (masa.OwnerClaim, error) { return importOwner(row, c.Product, &domain) },
	}
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		list.send = func(part []masa.OwnerClaim, dryRun bool) (*masa.ImportReport, error) {
			return op.ImportOwners(ctx, &masa.OwnerImport{Owners: part, Replace: c.Replace, DryRun: dryRun, By: actor()})
		}
		return list.run(s, c.Format)
	})
}

// importOwner reads a row. What it does not say, flags do: the owner as a whole.
func importOwner(row *rows.Row, product string, flags *masa.DomainRef) (masa.OwnerClaim, error) {
	f := row.Fields
	c := masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{Product: f["product"], SerialNumber: f["serial_number"]},
		DomainRef: masa.DomainRef{Name: f["name"], RegistrarURL: f["registrar_url"], ESTDomain: f["est_domain"]},
	}
	if c.Product == "" {
		c.Product = product
	}
	for _, field := range []struct {
		column string
		read   func(string) ([]byte, error)
		into   *[]byte
	}{
		{"certificate", certificateText, &c.Certificate}, {"public_key", publicKeyText, &c.PublicKey},
		{"key_sha256", hexText, &c.KeyHash}, {"fingerprint", hexText, &c.Fingerprint}, {"domain_id", hexText, &c.DomainID},
	} {
		text := f[field.column]
		if text == "" {
			continue
		}
		var err error
		if *field.into, err = field.read(text); err != nil {
			return c, fmt.Errorf("%s: %w", field.column, err)
		}
	}
	if len(f) == 1 || len(f) == 2 && f["product"] != "" { // the device alone
		c.DomainRef = *flags
	}
	return c, nil
}

type masaOwnerEndCmd struct {
	masaData
	masaDeviceArg
	output
}

// Run ends the ownerships of a device.
func (c *masaOwnerEndCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(op masaadmin.Operator) error {
		found, err := op.EndOwner(ctx, &masa.OwnerEnd{DeviceRef: c.ref(), By: actor()})
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, found.Owners)
	})
}
