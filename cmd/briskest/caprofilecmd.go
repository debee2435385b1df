package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
)

type caProfileCmd struct {
	List  caProfileListCmd  `cmd:"" help:"List certificate profiles: those that come with the program, or those of files."`
	Show  caProfileShowCmd  `cmd:"" help:"Print a profile as YAML, to be changed and named in registrar.yaml."`
	Check caProfileCheckCmd `cmd:"" help:"Check files of profiles in full, as the registrar does when it loads them."`
	Lint  caProfileLintCmd  `cmd:"" help:"Run zlint's lints of the certificate RFCs over certificates."`
	Try   caProfileTryCmd   `cmd:"" help:"Say what a CSR would get by a profile, and issue nothing."`
}

// profileNamed reads a profile's file, or takes one that comes with the program by its name.
func profileNamed(name string) (*profile.Profile, error) {
	for _, d := range profile.Shipped() {
		if d.Name == name {
			return profile.New(d)
		}
	}
	data, err := config.Read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cli.Usage("%q is no file and no profile that comes with the program; see briskest ca profile list", name)
	}
	if err != nil {
		return nil, err
	}
	p, err := profile.Load(data, config.Decode)
	if err != nil {
		return nil, cli.Usage("%s: %w", name, err)
	}
	return p, nil
}

// profileRow is one line about a profile.
type profileRow struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Keys        string `json:"keys"`
	KeyUsage    string `json:"key_usage"`
	Purposes    string `json:"extended_key_usage"`
	Lifetime    string `json:"lifetime"`
	CA          bool   `json:"ca"`
	Warnings    int    `json:"warnings"`
	Description string `json:"description"`
}

func rowOf(p *profile.Profile) profileRow {
	d := p.Document()
	var keys []string
	for _, k := range d.Keys {
		keys = append(keys, strings.Join(append([]string{k.Type}, k.Curves...), " "))
	}
	isCA, _ := p.Authority()
	return profileRow{
		p.Name(), p.Version(), strings.Join(keys, ", "), strings.Join(d.KeyUsage, ", "), strings.Join(d.ExtendedKeyUsage, ", "), d.Validity.Lifetime,
		isCA, len(p.Warnings()), d.Description,
	}
}

type caProfileListCmd struct {
	Files []string `arg:"" optional:"" help:"Files of profiles; none: those that come with the program."`
	output
}

// Run lists profiles.
func (c *caProfileListCmd) Run(s streams) error {
	names := c.Files
	if len(names) == 0 {
		for _, d := range profile.Shipped() {
			names = append(names, d.Name)
		}
	}
	var rows []profileRow
	for _, name := range names {
		p, err := profileNamed(name)
		if err != nil {
			return err
		}
		rows = append(rows, rowOf(p))
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

type caProfileShowCmd struct {
	Profile string `arg:"" help:"Name of a profile that comes with the program, or a file."`
}

// Run prints a profile.
func (c *caProfileShowCmd) Run(s streams) error {
	p, err := profileNamed(c.Profile)
	if err != nil {
		return err
	}
	text, err := config.Encode(p.Document())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "# Version %s\n%s", p.Version(), text)
	return err
}

type caProfileCheckCmd struct {
	Files []string `arg:"" type:"existingfile" help:"Files with one profile each."`
	output
}

// Run checks files, and says what the linter warns of.
func (c *caProfileCheckCmd) Run(s streams) error {
	var rows []profileRow
	for _, file := range c.Files {
		p, err := profileNamed(file)
		if err != nil {
			return err
		}
		for _, warning := range p.Warnings() {
			fmt.Fprintf(s.Err, "%s: warning: %s\n", file, warning)
		}
		rows = append(rows, rowOf(p))
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

type caProfileLintCmd struct {
	Files []string `arg:"" type:"existingfile" help:"PEM files of certificates."`
	output
}

// findingRow is what a linter says of a certificate.
type findingRow struct {
	File    string `json:"file"`
	Subject string `json:"subject"`
	Level   string `json:"level"` // error, warning or notice
	Lint    string `json:"lint"`
	Details string `json:"details,omitempty"`
}

// Run lints certificates and ends with 3 when there is an error or a warning.
func (c *caProfileLintCmd) Run(s streams) error {
	linter, err := profile.NewLinter()
	if err != nil {
		return err
	}
	var rows []findingRow
	bad := 0
	for _, file := range c.Files {
		certs, err := pemfile.Certificates(file)
		if err != nil {
			return err
		}
		for _, cert := range certs {
			findings, err := linter.Lint(cert.Raw)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for _, f := range findings {
				level := "warning"
				switch {
				case f.Error:
					level = "error"
				case f.Notice:
					level = "notice"
				}
				if !f.Notice {
					bad++
				}
				rows = append(rows, findingRow{file, cert.Subject.String(), level, f.Lint + " (" + f.Source + ")", f.Details})
			}
		}
	}
	if err := cli.PrintList(s.Out, c.Format, rows); err != nil {
		return err
	}
	if bad > 0 {
		return cli.Refused(fmt.Errorf("%d errors and warnings", bad))
	}
	return nil
}

type caProfileTryCmd struct {
	Profile     string    `arg:"" help:"Name of a profile that comes with the program, or a file."`
	CSR         string    `arg:"" type:"existingfile" help:"The request, PEM or DER."`
	BlockedKeys []string  `type:"existingfile" help:"Files of blocked keys, as in registrar.yaml."`
	Facts       factFlags `embed:"" prefix:"device-" group:"What the record says of the device, for templates:"`
	output
}

type factFlags struct {
	ID           string            `help:"Its ID."`
	Serial       string            `help:"Its serial number."`
	Manufacturer string            `help:"Its manufacturer."`
	Model        string            `help:"Its model."`
	Group        string            `help:"Its group."`
	Domain       string            `default:"default" help:"The domain it belongs to."`
	Label        string            `help:"The EST label it asks at."`
	Attribute    map[string]string `help:"Further attributes, NAME=VALUE."`
}

// tryResult is what a CSR would get.
type tryResult struct {
	Profile   string    `json:"profile"`
	Version   string    `json:"version"`
	KeySHA256 string    `json:"key_sha256"` // of the SubjectPublicKeyInfo
	Subject   string    `json:"subject"`
	DNS       string    `json:"dns,omitempty"`
	IP        string    `json:"ip,omitempty"`
	Email     string    `json:"email,omitempty"`
	URI       string    `json:"uri,omitempty"`
	Other     int       `json:"other_names"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	KeyUsage  string    `json:"key_usage"`
	Purposes  string    `json:"extended_key_usage"`
	CA        bool      `json:"ca"`
}

// Run decides as the registrar and the CA would, but for who asks: whether a device may
// have these names depends on how it authenticates. What they would refuse ends with 3.
func (c *caProfileTryCmd) Run(_ context.Context, s streams) error {
	p, err := profileNamed(c.Profile)
	if err != nil {
		return err
	}
	blocked, err := (&source{digests: make(map[string]string)}).blockedKeys(c.BlockedKeys)
	if err != nil {
		return err
	}
	csr, err := requestIn(c.CSR)
	if err != nil {
		return err
	}
	result, err := try(p.WithBlockedKeys(blocked), csr, c.Facts.facts(), time.Now())
	if err != nil {
		return cli.Refused(err)
	}
	return cli.PrintOne(s.Out, c.Format, result)
}

func (f *factFlags) facts() *profile.Facts {
	return &profile.Facts{
		DeviceID: f.ID, SerialNumber: f.Serial, Manufacturer: f.Manufacturer, Model: f.Model, Group: f.Group, Domain: f.Domain, Label: f.Label,
		Attribute: func(name string) string { return f.Attribute[name] },
	}
}

// requestIn reads and checks a request as the EST server does.
func requestIn(file string) (*x509.CertificateRequest, error) {
	data, err := config.Read(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	csr, err := est.ParseCSR(data)
	if err != nil {
		return nil, cli.Refused(err)
	}
	return csr.CertificateRequest, nil
}

func try(p *profile.Profile, csr *x509.CertificateRequest, facts *profile.Facts, now time.Time) (tryResult, error) {
	r := tryResult{Profile: p.Name(), Version: p.Version()}
	requested, err := profile.FromCSR(csr)
	if err != nil {
		return r, err
	}
	var names ca.Names
	subject, names, err := p.Names(requested, facts)
	if err := errors.Join(err, p.CheckKey(csr.PublicKey), p.CheckUsage(csr)); err != nil {
		return r, err
	}
	if r.NotBefore, r.NotAfter, err = p.Period(now, time.Time{}, time.Time{}, profile.Never()); err != nil {
		return r, err
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	r.KeySHA256, r.Subject, r.DNS, r.Email = hex.EncodeToString(sum[:]), subject.String(), strings.Join(names.DNS, ", "), strings.Join(names.Email, ", ")
	var ips, uris []string
	for _, ip := range names.IP {
		ips = append(ips, ip.String())
	}
	for _, u := range names.URI {
		uris = append(uris, u.String())
	}
	r.IP, r.URI, r.Other = strings.Join(ips, ", "), strings.Join(uris, ", "), len(names.Other)
	d := p.Document()
	usage := slices.Clone(d.KeyUsage)
	for _, k := range d.Keys {
		if strings.EqualFold(k.Type, csr.PublicKeyAlgorithm.String()) {
			usage = append(usage, k.KeyUsage...)
		}
	}
	r.KeyUsage, r.Purposes = strings.Join(usage, ", "), strings.Join(d.ExtendedKeyUsage, ", ")
	r.CA, _ = p.Authority()
	return r, nil
}
