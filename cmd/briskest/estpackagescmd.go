package main

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type estPALCmd struct {
	estPeer
	output
	Fetch string `placeholder:"DIR" help:"Also get each package that has an address, in the list's order, into this folder, which must not be there yet."`
}

type palRow struct {
	Type string    `json:"type"`
	Size int64     `json:"size"`
	Date time.Time `json:"date"`
	Info string    `json:"info"`
	File string    `json:"file"`
}

// Run lists the packages, and gets them with --fetch.
func (c *estPALCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	list, err := client.Packages(ctx)
	if err != nil {
		return estFailure(err)
	}
	if c.Fetch != "" {
		if err := os.Mkdir(c.Fetch, 0o700); err != nil {
			return err
		}
	}
	rows := make([]palRow, len(list))
	for i := range list {
		p := &list[i]
		rows[i] = palRow{Type: string(p.Type), Size: p.Size, Date: p.Date, Info: infoText(&p.Info)}
		if c.Fetch == "" || p.Info.URI == "" || !fetchable(p.Type) {
			continue
		}
		// The name is ours, whatever the address is.
		rows[i].File = filepath.Join(c.Fetch, fmt.Sprintf("%03d-%s", i+1, p.Type))
		got, err := client.FetchPackage(ctx, p)
		if err != nil {
			return estFailure(err)
		}
		if err := pemfile.Write(rows[i].File, got.Body, 0o600); err != nil {
			return err
		}
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

// fetchable leaves out what is asked for with a request of its own.
func fetchable(t est.PackageType) bool {
	switch t {
	case est.PackageEnroll, est.PackageEnrollWithAttrs, est.PackageReenroll:
		return false
	}
	return true
}

func infoText(i *est.PackageInfo) string {
	switch {
	case i.URI != "":
		return i.URI
	case i.DN != "":
		return i.DN
	case i.Serial != nil:
		return i.Issuer + " " + i.Serial.Text(16)
	}
	return hex.EncodeToString(i.SKI)
}

// withCAs returns a client, and the server's CAs that it trusts.
func (p *estPeer) withCAs(ctx context.Context, s streams) (*est.Client, *est.CASet, error) {
	client, err := p.client(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	set, err := client.TrustedCACerts(ctx)
	return client, set, estFailure(err)
}

type estCRLsCmd struct {
	estPeer
	Out string `help:"Write the PEM lists to this file instead of standard output."`
}

// Run gets the revocation lists that a trusted CA has signed and that are current.
func (c *estCRLsCmd) Run(ctx context.Context, s streams) error {
	client, set, err := c.withCAs(ctx, s)
	if err != nil {
		return err
	}
	lists, err := client.CRLs(ctx, set)
	if err != nil {
		return estFailure(err)
	}
	if len(lists) == 0 {
		return cli.NotFound("the server has no revocation list that is current and signed by a CA that is trusted")
	}
	var out []byte
	for _, l := range lists {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw})...)
	}
	return writeOut(s, c.Out, out)
}

type estEECertsCmd struct {
	estPeer
	Out string `help:"Write the PEM certificates to this file instead of standard output."`
}

// Run gets the end-entity certificates that validate to a trusted CA.
func (c *estEECertsCmd) Run(ctx context.Context, s streams) error {
	client, set, err := c.withCAs(ctx, s)
	if err != nil {
		return err
	}
	certs, err := client.EECerts(ctx, set)
	if err != nil {
		return estFailure(err)
	}
	if len(certs) == 0 {
		return cli.NotFound("the server has no end-entity certificate that a trusted CA vouches for")
	}
	return writeOut(s, c.Out, encodeAll(certs))
}
