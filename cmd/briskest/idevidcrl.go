package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type idevidCRLCmd struct {
	masaData
	Product  string        `required:"" help:"Product line; its idevid_ca signs."`
	Out      string        `required:"" help:"File to write; publish it at the addresses of idevid_ca.crl."`
	PEM      bool          `name:"pem" help:"PEM instead of DER, which is what is published (RFC 5280, Section 4.2.1.13)."`
	Lifetime time.Duration `default:"168h" help:"How long the list is current. Sign and publish the next one before."`
	output
}

// idevidCRLResult is what crl prints.
type idevidCRLResult struct {
	Revoked    int       `json:"revoked"`
	Number     int64     `json:"number"`
	NextUpdate time.Time `json:"next_update"`
	File       string    `json:"file"`
}

// holdReason is certificateHold (RFC 5280, Section 5.3.1): a device that is
// unblocked is on the next list no more.
const holdReason = 6

// Run signs the list.
func (c *idevidCRLCmd) Run(ctx context.Context, s streams) error {
	if c.Lifetime < time.Minute {
		return cli.Usage("--lifetime %s: a list is current for a minute at least", c.Lifetime)
	}
	return c.issuing(ctx, s, func(cfg *masaConfig, op masaadmin.Operator, rec record) error {
		maker, err := cfg.idevidCA(ctx, c.Product, op, rec)
		if err != nil {
			return err
		}
		now := time.Now().UTC().Truncate(time.Second)
		// The time is a number that grows without a record of the last one (RFC 5280, Section 5.2.3).
		list := &ca.RevocationList{Number: now.Unix(), ThisUpdate: now, NextUpdate: now.Add(c.Lifetime)}
		if list.Revoked, err = maker.blocked(ctx, now); err != nil {
			return err
		}
		data, err := maker.issuer.CRL(ctx, list)
		if err != nil {
			return err
		}
		if c.PEM {
			data = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: data})
		}
		if err := pemfile.Write(c.Out, data, 0o644); err != nil {
			return err
		}
		return cli.PrintOne(s.Out, c.Format, idevidCRLResult{len(list.Revoked), list.Number, list.NextUpdate, c.Out})
	})
}

// blocked returns the IDevIDs of this CA whose devices are blocked.
func (c *idevidCA) blocked(ctx context.Context, now time.Time) ([]ca.Revocation, error) {
	var out []ca.Revocation
	for page := (masa.Page{Limit: masa.MaxPage}); ; {
		rows, err := c.devices.ListDevices(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, d := range rows {
			if d.State != masa.Blocked || d.Product != c.product && !slices.Contains(c.sharing, d.Product) || len(d.IDevID) == 0 {
				continue
			}
			cert, err := x509.ParseCertificate(d.IDevID)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(cert.RawIssuer, c.issuer.Certificate().RawSubject) || cert.CheckSignatureFrom(c.issuer.Certificate()) != nil {
				continue // another CA's, imported
			}
			at := d.BlockedAt
			if at.IsZero() || at.After(now) {
				at = now
			}
			out = append(out, ca.Revocation{Serial: cert.SerialNumber.Bytes(), At: at, Reason: holdReason})
		}
		if len(rows) < masa.MaxPage {
			return out, nil
		}
		page.After = rows[len(rows)-1].ID
	}
}
