package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type estCACertsCmd struct {
	estPeer
	Fingerprint string `placeholder:"SHA256" help:"Start without --ca: take the CA certificate that has this SHA-256 fingerprint, and no other (RFC 7030, Section 4.1.1)."`
	Confirm     bool   `help:"Start without --ca: show the CA certificate and its fingerprint, and take it when you type yes."`
	Anchors     bool   `help:"Write the self-signed ones alone, for --ca; what --fingerprint and --confirm do anyway."`
	Out         string `help:"Write the PEM certificates to this file instead of standard output."`
}

// Run gets the CA certificates and writes those that are to be trusted.
func (c *estCACertsCmd) Run(ctx context.Context, s streams) error {
	set, err := c.get(ctx, s)
	if err != nil {
		return estFailure(err)
	}
	for _, u := range set.Untrusted {
		cli.Note(s.Err, "left out, because nothing that is trusted vouches for it: %s", u.Subject)
	}
	certs := set.Anchors
	if !c.Anchors {
		certs = append(certs, set.Intermediates...)
	}
	return writeOut(s, c.Out, encodeAll(certs))
}

func (c *estCACertsCmd) get(ctx context.Context, s streams) (*est.CASet, error) {
	if c.Fingerprint == "" && !c.Confirm {
		client, err := c.client(ctx, s)
		if err != nil {
			return nil, err
		}
		return client.TrustedCACerts(ctx)
	}
	if c.CA != "" || c.SystemRoots || (c.Fingerprint != "" && c.Confirm) {
		return nil, cli.Usage("--fingerprint and --confirm are for a start without trust: give one of them, without the other, --ca or --system-roots")
	}
	c.Anchors = true
	confirm := est.Confirm(func(roots []*x509.Certificate) (*x509.Certificate, error) { return ask(s, roots[0]) })
	if c.Fingerprint != "" {
		var err error
		if confirm, err = est.Fingerprint(c.Fingerprint); err != nil {
			return nil, cli.Usage("--fingerprint: %w", err)
		}
	}
	return c.bare().Bootstrap(ctx, confirm)
}

// ask shows root and has a person decide.
func ask(s streams, root *x509.Certificate) (*x509.Certificate, error) {
	fmt.Fprintf(s.Err, "Nobody vouches for this CA certificate. Compare its fingerprint with what the operator of the CA says.\n"+
		"  subject      %s\n  valid until  %s\n  SHA-256      %s\nTrust it? Type yes: ",
		cli.Printable(root.Subject.String()), root.NotAfter.UTC().Format("2006-01-02"), est.FingerprintOf(root))
	line, err := bufio.NewReader(io.LimitReader(s.In, 100)).ReadString('\n')
	if err != nil && line == "" {
		return nil, errors.New("there was no answer")
	}
	if strings.TrimSpace(line) != "yes" {
		return nil, errors.New("the answer was not yes")
	}
	return root, nil
}

func encodeAll(certs []*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pemfile.Encode(cert.Raw)...)
	}
	return out
}

type estCSRAttrsCmd struct {
	estPeer
	output
}

type csrAttrsRow struct {
	OID    string `json:"oid"`
	Values int    `json:"values"`
}

// Run gets the CSR attributes and prints their object identifiers.
func (c *estCSRAttrsCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	der, err := client.CSRAttrs(ctx)
	if err != nil {
		return estFailure(err)
	}
	var rows []csrAttrsRow
	if der != nil {
		attrs, err := est.ParseCSRAttrs(der)
		if err != nil {
			return err
		}
		for _, a := range attrs.Items {
			rows = append(rows, csrAttrsRow{OID: a.OID.String(), Values: len(a.Values)})
		}
	}
	return cli.PrintList(s.Out, c.Format, rows)
}
