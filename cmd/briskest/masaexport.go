package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaDeviceExportCmd struct {
	masaData
	Product      string `required:"" help:"Product line, whose manifest key signs."`
	Batch        string `help:"Only this batch."`
	SoldTo       string `help:"Only what belongs to this owner now: the name that the sale was noted with, or the SHA-256 of the domain CA's key in hex."`
	Manufacturer string `help:"What the buyer's registrar calls the manufacturer; empty: whatever it does."`
	Unsigned     bool   `help:"JSON lines without a signature."`
	Out          string `help:"File to write; standard output otherwise. It must not be there."`
}

// feedRow is a device as registrars import it.
type feedRow struct {
	SerialNumber string `json:"serial_number"`
	Model        string `json:"model,omitempty"`
	Batch        string `json:"batch,omitempty"`
	IDevID       string `json:"idevid,omitempty"` // base64 of the DER
}

// Run writes the devices that were built, for those who buy them. Blocked ones are left out.
func (c *masaDeviceExportCmd) Run(ctx context.Context, s streams) error {
	var out []byte
	err := c.issuing(ctx, s, func(cfg *masaConfig, op masaadmin.Operator, _ record) error {
		rows, left, err := c.rows(ctx, op)
		if err != nil {
			return err
		}
		if left > 0 {
			cli.Note(s.Err, "%d devices are blocked, and left out", left)
		}
		if out = rows; !c.Unsigned {
			out, err = c.sign(ctx, cfg, rows)
		}
		return err
	})
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = s.Out.Write(out)
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(out))
	return errors.Join(err, f.Close())
}

// rows are JSON lines, and how many devices were left out because they are blocked.
func (c *masaDeviceExportCmd) rows(ctx context.Context, op masaadmin.Operator) (lines []byte, blocked int, err error) {
	var out bytes.Buffer
	rows := json.NewEncoder(&out)
	for page := (masa.Page{Limit: masa.MaxPage}); ; {
		list, err := op.ListDevices(ctx, page)
		if err != nil {
			return nil, 0, err
		}
		for _, d := range list {
			wanted, err := c.wanted(ctx, op, d)
			switch {
			case err != nil:
				return nil, 0, err
			case !wanted:
				continue
			case d.State == masa.Blocked:
				blocked++
				continue
			}
			row := feedRow{SerialNumber: d.SerialNumber, Model: d.Product, Batch: d.Batch, IDevID: base64.StdEncoding.EncodeToString(d.IDevID)}
			if err := rows.Encode(row); err != nil {
				return nil, 0, err
			}
		}
		if len(list) < masa.MaxPage {
			break
		}
		page.After = list[len(list)-1].ID
	}
	if out.Len() == 0 {
		return nil, 0, &cli.Error{Code: cli.ExitNotFound, Err: errors.New("no device on record is so"), Hint: "briskest masa device list shows the devices on record, briskest masa device show one with its owners"}
	}
	return out.Bytes(), blocked, nil
}

func (c *masaDeviceExportCmd) wanted(ctx context.Context, op masaadmin.Operator, d *masa.Device) (bool, error) {
	if d.Product != c.Product || c.Batch != "" && d.Batch != c.Batch {
		return false, nil
	}
	if c.SoldTo == "" {
		return true, nil
	}
	whole, err := op.Device(ctx, masa.DeviceRef{Product: d.Product, SerialNumber: d.SerialNumber})
	if err != nil {
		return false, err
	}
	for _, o := range whole.Owners {
		if o.Until.IsZero() && (o.Name == c.SoldTo || hex.EncodeToString(o.KeyHash) == c.SoldTo) {
			return true, nil
		}
	}
	return false, nil
}

// sign makes a manifest with the product's manifest key.
func (c *masaDeviceExportCmd) sign(ctx context.Context, cfg *masaConfig, rows []byte) ([]byte, error) {
	for i := range cfg.Products {
		p := &cfg.Products[i]
		if p.Name != c.Product {
			continue
		}
		if p.Manifest.Certificate == "" {
			return nil, cli.Hint(fmt.Errorf("product %s has no key for manifests", p.Name),
				"set products: manifest: {certificate: FILE, key: URI} in %s; its CA is what the buyer's registrar has as manifest_anchors", c.Config)
		}
		id, err := cfg.identity(ctx, p.Manifest)
		if err != nil {
			return nil, fmt.Errorf("manifest key of %s: %w", p.Name, err)
		}
		key, err := pemfile.Signer(id)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if now.Before(id.Leaf.NotBefore) || now.After(id.Leaf.NotAfter) {
			return nil, fmt.Errorf("the manifest certificate %s is good from %s to %s", p.Manifest.Certificate, id.Leaf.NotBefore.UTC().Format(time.RFC3339), id.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		var chain []*x509.Certificate
		for _, der := range id.Certificate {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			chain = append(chain, cert)
		}
		return manifest.Sign(c.Manufacturer, now, rows, key, chain)
	}
	return nil, &cli.Error{Code: cli.ExitNotFound, Err: fmt.Errorf("there is no product %q in %s", c.Product, c.Config)}
}
