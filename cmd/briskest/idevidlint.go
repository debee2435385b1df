package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/voucher"
)

type idevidLintCmd struct {
	Images        []string `arg:"" type:"existingdir" help:"Folders, each with what one device is shipped with."`
	Certificate   string   `default:"idevid.pem" help:"The IDevID and the CAs above it but the root, in each folder."`
	Key           string   `default:"idevid.key" help:"Its key, in each folder. A device that keeps it elsewhere has no such file."`
	VoucherAnchor string   `default:"anchor.pem" help:"The CAs that the device trusts vouchers with, in each folder, or one absolute path."`
	IDevIDAnchors string   `name:"idevid-anchors" type:"existingfile" help:"PEM file of the CAs that registrars verify IDevIDs with: each IDevID is verified."`
	MASAAnchors   string   `name:"masa-anchors" type:"existingfile" help:"PEM file of the CAs that registrars verify the MASA's server with: the MASA at the URL in each IDevID has to answer."`
	output
}

// lintProblem is something wrong with what a device is shipped with.
type lintProblem struct {
	Image   string `json:"image"`
	Problem string `json:"problem"`
}

// Run looks at each image (RFC 8995, Section 9.1.3) and ends with 3 when there is
// something wrong.
func (c *idevidLintCmd) Run(ctx context.Context, s streams) error {
	l := &imageLint{idevidLintCmd: c, now: time.Now(), serials: map[string]string{}, keys: map[[sha256.Size]byte]string{}, masas: map[string]error{}}
	if c.IDevIDAnchors != "" {
		var err error
		if l.anchors, err = pemfile.Pool(c.IDevIDAnchors); err != nil {
			return err
		}
	}
	if c.MASAAnchors != "" {
		var err error
		if l.masaAnchors, err = pemfile.Pool(c.MASAAnchors); err != nil {
			return err
		}
	}
	for _, image := range c.Images {
		l.image(ctx, image)
	}
	if err := cli.PrintList(s.Out, c.Format, l.problems); err != nil {
		return err
	}
	if len(l.problems) > 0 {
		return cli.Refused(fmt.Errorf("%d problems in %d images", len(l.problems), len(c.Images)))
	}
	cli.Note(s.Err, "%d images, nothing wrong", len(c.Images))
	return nil
}

// imageLint is one lint under way.
type imageLint struct {
	*idevidLintCmd
	now      time.Time
	anchors  *x509.CertPool // nil: chains are not verified to their end
	serials  map[string]string
	keys     map[[sha256.Size]byte]string
	problems []lintProblem

	masaAnchors *x509.CertPool   // nil: no MASA is asked
	masas       map[string]error // what came of asking, by URL
}

func (l *imageLint) image(ctx context.Context, dir string) {
	report := func(format string, args ...any) {
		l.problems = append(l.problems, lintProblem{dir, fmt.Sprintf(format, args...)})
	}
	if chain, err := pemfile.Certificates(filepath.Join(dir, l.Certificate)); err != nil {
		report("no IDevID: %v", err)
	} else {
		l.idevid(chain, report)
		l.unique(dir, chain[0], report)
		l.masa(ctx, chain[0], report)
		l.key(ctx, dir, report)
	}
	l.voucherAnchor(dir, report)
}

// idevid looks at the certificate (RFC 8995, Section 2.3; IEEE 802.1AR).
func (l *imageLint) idevid(chain []*x509.Certificate, report func(string, ...any)) {
	leaf := chain[0]
	if leaf.IsCA {
		report("the first certificate is a CA's, not an IDevID")
	}
	if _, err := voucher.SerialNumber(leaf); err != nil {
		report("%v: registrar and MASA know a device by it (RFC 8995, Section 2.3.1)", err)
	}
	if _, err := voucher.MASAURL(leaf); err != nil {
		report("%v: registrars find the MASA by it (RFC 8995, Section 2.3.2)", err)
	}
	if len(leaf.AuthorityKeyId) == 0 {
		report("the IDevID has no authority key identifier")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		report("the IDevID's key usage lacks digitalSignature: its key authenticates TLS and signs voucher-requests")
	}
	usages := len(leaf.ExtKeyUsage) + len(leaf.UnknownExtKeyUsage)
	if usages > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		report("the IDevID's extended key usage leaves clientAuth out")
	}
	for i, cert := range chain {
		if l.now.After(cert.NotAfter) {
			report("the certificate %q has expired", cert.Subject)
		}
		if i > 0 && chain[i-1].CheckSignatureFrom(cert) != nil {
			report("the certificate %q is not signed by the one after it", chain[i-1].Subject)
		}
	}
	l.verify(chain, report)
}

func (l *imageLint) verify(chain []*x509.Certificate, report func(string, ...any)) {
	if l.anchors == nil {
		return
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: l.anchors, Intermediates: between, CurrentTime: l.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		report("the IDevID does not verify: %v", err)
	}
}

// unique refuses what two devices have in common: an image that was copied.
func (l *imageLint) unique(dir string, leaf *x509.Certificate, report func(string, ...any)) {
	if serial, err := voucher.SerialNumber(leaf); err == nil {
		name := string(leaf.RawIssuer) + "\x00" + serial
		if other, twice := l.serials[name]; twice {
			report("the serial number %q is that of %s too", serial, other)
		} else {
			l.serials[name] = dir
		}
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	if other, twice := l.keys[key]; twice {
		report("the key, SHA-256 %s, is that of %s too", hex.EncodeToString(key[:]), other)
	} else {
		l.keys[key] = dir
	}
}

// key opens the key, where it is in a file.
func (l *imageLint) key(ctx context.Context, dir string, report func(string, ...any)) {
	file := filepath.Join(dir, l.Key)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return
	}
	if _, err := pemfile.Identity(ctx, filepath.Join(dir, l.Certificate), "file:"+file); err != nil {
		report("the key: %v", err)
	}
}

// voucherAnchor looks at what the device verifies vouchers with
// (RFC 8995, Section 9.1.3).
func (l *imageLint) voucherAnchor(dir string, report func(string, ...any)) {
	file := l.VoucherAnchor
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	certs, err := pemfile.Certificates(file)
	if err != nil {
		report("no anchor for vouchers: %v", err)
		return
	}
	for _, cert := range certs {
		if l.now.After(cert.NotAfter) {
			report("the anchor for vouchers %q has expired", cert.Subject)
		}
		if !cert.IsCA && !bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
			report("the anchor for vouchers %q is neither a CA nor a signer", cert.Subject)
		}
	}
}
