package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaIDevIDCmd struct {
	Init  idevidInitCmd  `cmd:"" help:"Make a manufacturer's CA: a root, and below it the CA that signs IDevIDs."`
	Issue idevidIssueCmd `cmd:"" help:"Issue IDevIDs from CSRs, or for a list of devices. The MASA has them on record."`
	CRL   idevidCRLCmd   `cmd:"" name:"crl" help:"Sign the CA's revocation list: the IDevIDs of all blocked devices."`
	Lint  idevidLintCmd  `cmd:"" help:"Look at what devices are shipped with: IDevID, key and voucher anchors."`
}

type idevidInitCmd struct {
	masaData
	Dir      string `default:"masa/idevid" help:"Directory for keys and certificates, relative to masa.yaml. What is in it stays as it is."`
	Name     string `required:"" help:"The manufacturer, in the CAs' names."`
	Lifetime string `default:"never" help:"Of both CAs, such as 7300d. IDevIDs never expire, and verify only while these do not."`
	output
}

// idevidCAFiles is what init prints.
type idevidCAFiles struct {
	Root    string `json:"root"`     // certificate, for registrars
	RootKey string `json:"root_key"` // to be kept offline
	CA      string `json:"ca"`       // the CA that signs, and the root
	CAKey   string `json:"ca_key"`
}

// Run makes the CAs; both are on the MASA's trail.
func (c *idevidInitCmd) Run(ctx context.Context, s streams) error {
	return c.issuing(ctx, s, func(cfg *masaConfig, _ masaadmin.Operator, rec record) error {
		dir := folder(cfg.path(c.Dir))
		if err := dir.make(); err != nil {
			return err
		}
		root, rootKey, err := dir.root(ctx, "root.pem", "root.key", authority(c.Name+" IDevID Root CA", c.Lifetime, rec))
		if err != nil {
			return err
		}
		_, err = dir.issuing(ctx, "ca.pem", "ca.key", root, rootKey, &localca.Authority{
			Subject: pkix.Name{CommonName: c.Name + " IDevID CA"}, Lifetime: c.Lifetime, Record: rec,
		})
		if err != nil {
			return err
		}
		if c.Format != cli.Table {
			return cli.PrintOne(s.Out, c.Format, idevidCAFiles{dir.path("root.pem"), dir.path("root.key"), dir.path("ca.pem"), dir.path("ca.key")})
		}
		s.Printf(`The CA is in %[1]s.
Keep %[2]s offline: only another CA below it needs the key.
Give registrars %[3]s (idevid_anchors of the manufacturer).
Put this under the product in %[4]s, and reload the MASA:

    idevid_anchors: %[5]s/ca.pem
    idevid_ca:
      certificate: %[5]s/ca.pem
      key: file:%[5]s/ca.key
      masa_url: %[6]s
      organization: %[7]q
      hw_types: []   # your object identifier of this kind of hardware: a HardwareModuleName (RFC 4108)
      crl: []        # http addresses of the CA's revocation list, if you will publish one
`, dir, dir.path("root.key"), dir.path("root.pem"), c.Config, c.Dir, masaURLFor(cfg.Listen.Registrars, []string{"HOST"}), c.Name)
		return nil
	})
}

type idevidIssueCmd struct {
	masaData
	Product      string             `required:"" help:"Product line; its idevid_ca signs."`
	Out          string             `required:"" help:"Folder that gets a folder for each device: idevid.pem, and idevid.key where the key is made here."`
	From         string             `arg:"" help:"A CSR; a folder of CSRs (.csr, .p10, .pem, .der); or a list, CSV with a heading or JSON lines, of serial_number, csr (a file, relative to the list), key_sha256 (hex, of the CSR's key), hw_type, hw_serial, batch; - for a list on standard input."`
	SerialNumber string             `help:"Of the device, where one CSR is given that does not name it."`
	Batch        string             `help:"Name of the batch, for the record."`
	GenerateKeys bool               `help:"Make keys for devices without a CSR. A key that a device makes itself never leaves it, so this is for devices that cannot."`
	KeyType      keystore.Algorithm `default:"p256" help:"Of those keys: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519."`
	DryRun       bool               `help:"Check everything, and change nothing."`
	output
}

// idevidResult is what issue prints.
type idevidResult struct {
	Devices int    `json:"devices"`
	Issued  int    `json:"issued"`
	Kept    int    `json:"kept"` // had one for the same key
	Folder  string `json:"folder"`
}

// Run issues, in parts of masa.MaxImport. What was issued before an error
// stays; running the command again goes on.
func (c *idevidIssueCmd) Run(ctx context.Context, s streams) error {
	orders, err := c.read(s)
	if err != nil {
		return err
	}
	out := folder(c.Out)
	if !c.DryRun {
		if err := out.make(); err != nil {
			return err
		}
	}
	result := idevidResult{Folder: c.Out}
	err = c.issuing(ctx, s, func(cfg *masaConfig, op masaadmin.Operator, rec record) error {
		maker, err := cfg.idevidCA(ctx, c.Product, op, rec)
		if err != nil {
			return err
		}
		run := &idevidRun{maker: maker, out: out, streams: s, dryRun: c.DryRun, algorithm: c.KeyType, progress: newProgress(s.Err)}
		if run.sample, err = keystore.Generate(c.KeyType); err != nil {
			return err
		}
		run.progress.total = len(orders)
		defer run.progress.end()
		return chunks(orders, min(masa.MaxImport, 1000), func(part []idevidOrder) error { return run.part(ctx, part, &result) })
	})
	if err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, result)
}

// idevidRun is one issue command under way.
type idevidRun struct {
	maker     *idevidCA
	out       folder
	streams   streams
	dryRun    bool
	algorithm keystore.Algorithm
	sample    crypto.Signer // stands for the keys to be made when nothing is made
	progress  progress
}

func (r *idevidRun) part(ctx context.Context, part []idevidOrder, result *idevidResult) error {
	if err := r.keys(ctx, part); err != nil {
		return err
	}
	requests := make([]idevidRequest, len(part))
	for i := range part {
		requests[i] = part[i].idevidRequest
	}
	var made []idevid
	var problems []masa.ImportProblem
	var err error
	if r.dryRun {
		problems, err = r.maker.check(ctx, requests)
	} else {
		made, problems, err = r.maker.issue(ctx, requests)
	}
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		r.progress.end()
		for _, p := range problems[:min(len(problems), 20)] {
			fmt.Fprintf(r.streams.Err, "%s, %q: %s\n", part[p.Row-1].where, p.SerialNumber, p.Problem)
		}
		return cli.Refused(fmt.Errorf("nothing was issued for these %d devices: %d have problems; %d before them have their IDevID", len(part), len(problems), result.Devices))
	}
	if err := r.write(requests, made); err != nil {
		return err
	}
	result.Devices += len(part)
	for _, m := range made {
		if m.kept {
			result.Kept++
		} else {
			result.Issued++
		}
	}
	r.progress.show(r.dryRun, result.Devices)
	return nil
}

// write gives each device its folder and chain.
func (r *idevidRun) write(requests []idevidRequest, made []idevid) error {
	return inParallel(len(made), func(i int) error {
		name := fileName(requests[i].serial)
		if err := r.out.make(name); err != nil {
			return err
		}
		return writeIDevID(r.out.path(name+"/idevid.pem"), made[i].certificate, r.maker.above)
	})
}

// keys makes the keys that are to be made here, or opens those of an earlier run.
func (r *idevidRun) keys(ctx context.Context, part []idevidOrder) error {
	return inParallel(len(part), func(i int) error {
		if part[i].key != nil {
			return nil
		}
		name := fileName(part[i].serial)
		if r.dryRun && !r.out.has(name+"/idevid.key") {
			part[i].key = r.sample.Public()
			return nil
		}
		if err := r.out.make(name); err != nil {
			return err
		}
		key, err := r.out.key(ctx, name+"/idevid.key", r.algorithm)
		if err == nil {
			part[i].key = key.Public()
		}
		return err
	})
}

// writeIDevID writes a device's chain, unless the file has it already.
func writeIDevID(file string, cert *x509.Certificate, above []*x509.Certificate) error {
	there, err := pemfile.Certificates(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(there[0].Raw, cert.Raw):
		return nil
	default:
		return fmt.Errorf("%s has another certificate than the MASA has on record for this device; move it away", file)
	}
	ders := [][]byte{cert.Raw}
	for _, ca := range above {
		ders = append(ders, ca.Raw)
	}
	return pemfile.Write(file, pemfile.Encode(ders...), 0o644)
}
