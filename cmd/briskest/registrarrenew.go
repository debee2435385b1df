package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// ownProfile is the name of the profile by which the registrar's own certificate
// is made.
const ownProfile = "registrar"

type registrarRenewCmd struct {
	registrarData
	output
}

// renewed is what a command says of a certificate it made.
type renewed struct {
	Certificate string    `json:"certificate"` // the file
	Serial      string    `json:"serial"`
	NotAfter    time.Time `json:"not_after"`
}

// Run has the registrar's CA issue for the registrar, on its record.
func (c *registrarRenewCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return err
	}
	settings, servers, err := cfg.build(ctx)
	if err != nil {
		return err
	}
	defer cfg.fetcher.Close()
	issuer := settings.Issuers[registrar.DefaultIssuer]
	if issuer == nil {
		return cli.Usage("%s has no CA that could issue; have %s renewed where it was made", c.Config, cfg.TLS.Certificate)
	}
	chain, err := issuer.Chain(ctx)
	if err != nil {
		return err
	}
	old := servers[0].Leaf
	if !bytes.Equal(old.RawIssuer, chain[0].RawSubject) {
		return cli.Usage("%s was issued by %q, which is not the CA of this registrar, %q; have it renewed there", cfg.TLS.Certificate, old.Issuer, chain[0].Subject)
	}
	key, err := pemfile.Signer(servers[0])
	if err != nil {
		return err
	}
	csr, err := newCSR(&x509.CertificateRequest{RawSubject: old.RawSubject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses}, key)
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		raw, err := client.IssueOwn(ctx, csr.Raw)
		if err != nil {
			return cli.Hint(err, "briskest ca status --config %s says how the CA is; one that has ended is renewed first", c.Config)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return err
		}
		shown, err := serverChain(ctx, cert, chain, issuer)
		if err != nil {
			return err
		}
		return writeRenewed(s, c.Format, cfg.path(cfg.TLS.Certificate), shown)
	})
}

// serverChain is what the registrar shows: its certificate, the CAs but the root,
// and what links them to a root of before, for devices that trust that one.
func serverChain(ctx context.Context, cert *x509.Certificate, chain []*x509.Certificate, issuer ca.Issuer) ([]*x509.Certificate, error) {
	shown := []*x509.Certificate{cert}
	for _, c := range chain {
		if !bytes.Equal(c.RawIssuer, c.RawSubject) {
			shown = append(shown, c)
		}
	}
	d, ok := issuer.(ca.Distributor)
	if !ok {
		return shown, nil
	}
	more, err := d.CACerts(ctx)
	if err != nil {
		return nil, err
	}
	for _, link := range more {
		for _, c := range chain {
			if bytes.Equal(link.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) && !link.Equal(c) && link.CheckSignatureFrom(link) != nil {
				shown = append(shown, link)
			}
		}
	}
	return shown, nil
}

// writeRenewed replaces a certificate's file and says so.
func writeRenewed(s streams, format, file string, chain []*x509.Certificate) error {
	var ders [][]byte
	for _, c := range chain {
		ders = append(ders, c.Raw)
	}
	if err := pemfile.Write(file, pemfile.Encode(ders...), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(s.Err, "send SIGHUP to the server, which shows the old certificate until then")
	return cli.PrintOne(s.Out, format, renewed{file, fmt.Sprintf("%x", chain[0].SerialNumber), chain[0].NotAfter})
}
